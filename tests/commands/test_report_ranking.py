"""The report of validated runs: a section, two files and a heat map beside what it has of their scores."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pedseg.choosing.validators import VALIDATORS
from pedseg.commands.report import main
from pedseg.files import read_json, write_json
from pedseg.runs import RunFolder
from tests.reporting.worlds import write_children, write_run

SETTINGS = {"source": [["adult", "a"]], "target": [["ped", "p"]]}
SWEEP = [(alpha, weight) for alpha in (1, 3) for weight in (0.01, 0.1)]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep of four members whose predictions get worse, with scores that know it; and model 3."""
    monkeypatch.setattr("pedseg.reporting.figures.style.RESOLUTION", 40)
    write_children(tmp_path / "children", [f"BraTS-PED-0000{n}-000" for n in range(3)])
    for place, (alpha, weight) in enumerate(SWEEP):
        run = write_run(
            tmp_path / "runs" / f"member_{place}" / "fold_0", tmp_path / "children", name="another", errors=(place,) * 3
        )
        validate(run, value=-0.1 * place, adaptation={"dann": {"alpha_max": alpha, "lambda_domain": weight}})
    run = write_run(
        tmp_path / "runs" / "m3_mixed" / "fold_0", tmp_path / "children", name="another", errors=(0, 0, 0), adapts=False
    )
    validate(run, value=0.5)
    return tmp_path / "runs"


def validate(run: RunFolder, *, value: float, **settings: Any) -> None:
    """Give a run scores, and settings; without pictures of its own."""
    write_json(run.config, read_json(run.config) | settings)
    run.metrics.unlink()
    for path in run.variant("plain").path.glob("*.nii.gz"):
        path.unlink()
    scores = {**dict.fromkeys(VALIDATORS), "entropy": value, "snd": 5 - value}
    record = {"settings": SETTINGS, "target_labels": False, "synthetic": True, "scores": scores}
    write_json(run.variant("plain").validators, record)


def test_the_report_ranks_validated_runs(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "the report"
    assert main([str(runs), "--output", str(output), "--validator", "entropy"]) == 0
    page = (output / "index.html").read_text()
    assert str(output / "index.html") in capsys.readouterr().out
    assert ">Choosing without labels</h2>" in page
    assert "The first numbers are of member_0, which is chosen without labels of the target." in page
    assert "Not ranked, as trained on labels of the target: 3." in page
    assert 'href="figures/heat_map.png"' in page
    text = (output / "validators.md").read_text()
    assert r"| entropy | member\_0 | 0.0000 | +1.00 (4) |" in text
    assert r"| SND | member\_3 |" in text
    assert "| -1.00 (4) |" in text
    table = pd.read_csv(output / "validators.csv").set_index(["model", "validator"])
    dice = {
        name: pd.read_csv(runs / name / "fold_0" / "predictions" / "plain" / "scores.csv")["dice"].mean()
        for name in ("member_0", "member_3")
    }
    assert table.loc[("member_1", "snd"), "regret"] == pytest.approx(dice["member_0"] - dice["member_3"])
    for path in runs.rglob("validators.json"):
        path.unlink()
    assert main([str(runs), "--output", str(output)]) == 0
    assert not (output / "validators.md").exists()
    assert not (output / "figures" / "heat_map.png").exists()
    assert "Choosing without labels" not in (output / "index.html").read_text()


def test_without_scores_the_ranking_stands_alone(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in runs.rglob("scores.csv"):
        path.unlink()
    output = tmp_path / "the report"
    assert main([str(runs), "--output", str(output), "--validator", "snd"]) == 0
    page = (output / "index.html").read_text()
    assert "<h1>Models ranked without labels</h1>" in page
    assert "SYNTHETIC data" in page
    assert r"| entropy | member\_0 | – | – |" in (output / "validators.md").read_text()
    assert 'href="figures/heat_map.png"' in page
    assert {path.name for path in output.glob("[!.]*")} == {"index.html", "validators.md", "validators.csv", "figures"}
    for member in ("member_1", "member_2", "member_3"):
        RunFolder(runs / member / "fold_0").variant("plain").validators.unlink()
    assert main([str(runs), "--output", str(output)]) == 2
    assert "fewer than two validated models" in capsys.readouterr().err
