"""What a run folder is told as: by hand-made files whose means are known."""

from pathlib import Path

import pytest

from pedseg.errors import PedsegError
from pedseg.files import write_json
from pedseg.runs import RunFolder
from pedseg.tracking import results_of

SCORES = """case,region,dice,hd95_mm
a,wt,0.5,2
a,et,,
b,wt,0.9,4
b,et,0.2,8
"""
CURVES = """epoch,step,train/loss,val/source/dice_mean,time/step
0,1,0.9,,0.1
0,1,,0.3,
1,2,0.5,0.7,0.1
2,3,0.6,0.6,0.1
"""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "fold_0")
    plain = run.variant("plain")
    plain.path.mkdir(parents=True)
    plain.scores.write_text(SCORES)
    write_json(plain.validators, {"scores": {"sizes": -0.5, "dev": None}})
    write_json(plain.thresholds, {"thresholds": {"wt": 0.0, "tc": -1.5, "et": 0.5}})
    run.metrics.write_text(CURVES)
    return run


def test_results_are_means_scores_thresholds_and_ends_of_curves(run: RunFolder) -> None:
    assert results_of(run) == pytest.approx(
        {
            "test/plain/wt/dice": 0.7,
            "test/plain/wt/hd95_mm": 3.0,
            "test/plain/et/dice": 0.2,  # of the one case that has it
            "test/plain/et/hd95_mm": 8.0,
            "test/plain/cases": 2.0,
            "validator/plain/sizes": -0.5,
            "calibration/plain/wt/logit": 0.0,
            "calibration/plain/tc/logit": -1.5,
            "calibration/plain/et/logit": 0.5,
            "best/train/loss": 0.5,
            "last/train/loss": 0.6,
            "best/val/source/dice_mean": 0.7,
            "last/val/source/dice_mean": 0.6,
        }
    )


def test_a_run_without_anything_has_no_results(tmp_path: Path) -> None:
    assert results_of(RunFolder(tmp_path)) == {}


@pytest.mark.parametrize("text", ["nothing", "case,region,dice,hd95_mm\na,wt,x,1\n"])
def test_damaged_scores_are_named(run: RunFolder, text: str) -> None:
    run.variant("plain").scores.write_text(text)
    with pytest.raises(PedsegError, match=r"scores.csv: cannot be read as scores .*; restore it"):
        results_of(run)


def test_damaged_curves_are_named(run: RunFolder) -> None:
    run.metrics.write_text("epoch,step\n0,x\n")
    with pytest.raises(PedsegError, match=r"metrics.csv: cannot be read as training curves"):
        results_of(run)
