"""Which runs are post-processed, and how held-out cases of several folds are put together."""

from pathlib import Path

import pytest

from pedseg.errors import PedsegError, ProblemsError
from pedseg.evaluation.pairing import Pair
from pedseg.evaluation.postprocessing.keep_largest import Choice, HeldOut
from pedseg.evaluation.postprocessing.runs import Experiment, find_experiments, pool, write_choice
from pedseg.files import read_json, write_json
from pedseg.labels import get_convention
from pedseg.runs import RunFolder
from tests.composed import IMPORTED, write_config

CONVENTION = get_convention("brats2023")


def write_run(folder: Path, *, cohorts: bool = True, finished: bool = True, predicted: bool = True) -> RunFolder:
    run = RunFolder(folder)
    if cohorts:
        write_config(run.path)
    else:
        write_json(run.config, IMPORTED)
    if finished:
        write_json(run.finished, {})
    if predicted:
        run.variant("plain").path.mkdir(parents=True)
        (run.variant("plain").path / "a.nii.gz").touch()
    return run


def test_runs_are_grouped_by_experiment(tmp_path: Path) -> None:
    for name in ("uda/fold_0", "uda/fold_1", "uda/alpha_max=1/fold_0", "m1/fold_all"):
        write_run(tmp_path / name)
    experiments, left_out = find_experiments([tmp_path])
    found = {e.path.relative_to(tmp_path).as_posix(): [f.path.name for f in e.folds] for e in experiments}
    assert found == {"uda": ["fold_0", "fold_1"], "uda/alpha_max=1": ["fold_0"], "m1": ["fold_all"]}
    assert all(experiment.whole for experiment in experiments)
    assert left_out == []
    single, _ = find_experiments([tmp_path / "uda" / "fold_1"])
    assert single == [Experiment(tmp_path / "uda", (RunFolder(tmp_path / "uda" / "fold_1"),), whole=False)]
    twice, _ = find_experiments([tmp_path / "m1", tmp_path / "m1"])
    assert len(twice) == len(twice[0].folds) == 1


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "fold_0", cohorts=False)
    write_run(tmp_path / "a" / "fold_1", finished=False)
    write_run(tmp_path / "a" / "fold_2", predicted=False)
    experiments, left_out = find_experiments([tmp_path])
    assert experiments == []
    reasons = {path.name: reason for path, reason in left_out}
    assert "imported" in reasons["fold_0"]
    assert "not finished" in reasons["fold_1"]
    assert "predicted no case" in reasons["fold_2"]
    with pytest.raises(PedsegError, match=r"no fold_\*/config\.json"):
        find_experiments([tmp_path / "a" / "fold_0" / "predictions"])


def part(cohort: str, *cases: str) -> HeldOut:
    return HeldOut(
        cohort, [Pair(case, Path(f"{case}.nii.gz"), Path(f"{case}-seg.nii.gz")) for case in cases], CONVENTION
    )


def test_folds_are_pooled_by_cohort() -> None:
    pooled = pool([part("adult", "c", "d"), part("ped", "a"), part("adult", "a", "b")])
    assert {one.cohort: [pair.case for pair in one.pairs] for one in pooled} == {
        "adult": ["a", "b", "c", "d"],
        "ped": ["a"],
    }
    with pytest.raises(ProblemsError, match="held out twice"):
        pool([part("adult", "a", "b"), part("adult", "b")])


def test_another_choice_is_not_replaced_silently(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "uda", (write_run(tmp_path / "uda" / "fold_0"),), whole=True)
    write_choice(experiment, Choice((), (), {"adult": 3}), overwrite=False)
    record = read_json(tmp_path / "uda" / "postprocessing.json")
    assert record == {
        "keep_largest": [], "cases": {"adult": 3}, "steps": [], "folds": ["fold_0"], "on_evaluated_cases": False
    }  # fmt: skip
    write_choice(experiment, Choice((), (), {"adult": 3}), overwrite=False)
    with pytest.raises(PedsegError, match="chosen on other folds"):
        write_choice(experiment, Choice((), (), {"ped": 3}), overwrite=False)
    write_choice(experiment, Choice((), (), {"ped": 3}), overwrite=True)
    assert read_json(tmp_path / "uda" / "postprocessing.json")["on_evaluated_cases"]
