"""``--dry-run`` of the training command, on tiny synthetic cohorts."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pedseg.commands import train as entry
from pedseg.planning import Plan
from pedseg.runs import RunFolder
from tests.training import arguments, train

HOURS = re.compile(r"^hours +(\S+) on this machine: training (\S+), validation (\S+), prediction (\S+)$", re.MULTILINE)


def plan(world: Path, runs: Path, *overrides: str) -> int:
    return entry.main([*arguments(world, runs, *overrides), "--dry-run"])


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_the_command_says_what_a_run_will_take_and_writes_nothing(toy_world: Path, tmp_path: Path) -> None:
    """As a command of its own, in an empty folder, where a run folder or a log would be seen."""
    here, runs, outside = tmp_path / "here", tmp_path / "runs", tmp_path / "temporary files"
    here.mkdir()
    outside.mkdir()
    command = [sys.executable, "-m", "pedseg.train", *arguments(toy_world, runs, "experiment=uda"), "--dry-run"]
    before = files(toy_world)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=here, env={**os.environ, "TMPDIR": str(outside)}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for row in (
        r"^run +uda/fold_0 in ",
        r"^source, with labels +4 adult$",
        r"^target, without +4 ped$",
        r"^validation +2 adult$",
        r"^evaluated +2 ped$",
        r"^training +2 steps × 1 epochs; 2 patches of 16×16×16 a step$",
        r"^precision +(32-true|bf16-mixed|16-mixed): \S+",
        r"^cores +\d+: \d+ threads, 0 loader processes$",
        r"^measured +median of \d+ steps ",
        r"^host memory +\S+ MiB at the peak",
        r"^GPU step +\S+ MiB of tensors, computed: weights ",
        r"^GPU prediction ",
        r"^GPU context +about .* an estimate",
        r"^disk +\S+ .*: checkpoint .*, predictions ",
    ):
        assert re.search(row, done.stdout, re.MULTILINE), (row, done.stdout)
    shown = HOURS.search(done.stdout)
    assert shown
    assert all(float(hours) > 0 for hours in shown.groups())
    assert not files(here) | files(runs) | files(outside)
    assert files(toy_world) == before


def test_hours_are_proportional_to_epochs(toy_world: Path, tmp_path: Path) -> None:
    """One measurement, two lengths: the plan is asked, not the clock."""
    plans: list[Plan] = []
    planned(toy_world, tmp_path, plans, "experiment=m2_ped")
    (one,) = plans
    ten = replace(one, epochs=10)
    assert one.measured is not None
    assert one.hours is not None
    assert ten.hours is not None
    predicting = one.passes * one.window_s / 3600
    assert (ten.hours - predicting) == pytest.approx(10 * (one.hours - predicting))
    begun = replace(ten, done=9)
    assert begun.hours == pytest.approx(one.hours)
    assert one.measured.sustained_s(1) == max(one.measured.step_s, one.measured.batch_s)
    assert replace(one, measured=None).hours is None


def test_a_sweep_is_a_table_with_the_hours_of_all(
    toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever launches the jobs, a dry run measures one after the other."""
    swept = [
        "-m",
        "experiment=uda,m1_adult_fold",
        "variant=[plain,calibrated]",
        "variant.calibrated.target=[ped]",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
    ]
    assert plan(toy_world, tmp_path / "runs", *swept) == 0
    shown = capsys.readouterr().out
    assert "uda/fold_0" in shown
    assert "m1_adult_fold/fold_0" in shown
    total = re.search(r"^2 runs one after the other: (\S+) hours$", shown, re.MULTILINE)
    assert total
    assert float(total[1]) > 0
    assert not files(tmp_path / "runs")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["experiment=uda", "fold=7"], "fold 7"),
        (["experiment=m5_seg_layers", "fold=0"], "pedseg train experiment=m1_adult"),
        (["experiment=uda", "adaptation.decoder_stage=9"], "decoder_stage=9"),
        (["experiment=m2_ped", "paths.store=/nowhere"], "pedseg prepare"),
        (["experiment=m2_ped", "prediction.step=0"], "prediction.step=0: should be greater than 0"),
    ],
)
def test_what_training_refuses_is_refused(
    toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], overrides: list[str], message: str
) -> None:
    said = []
    for command in (plan, train):
        assert command(toy_world, tmp_path / command.__name__, *overrides) == 2
        error = capsys.readouterr().err.replace(str(tmp_path / command.__name__), "RUNS")
        said.append(error[error.index("pedseg: ") :])
    assert message in said[0]
    assert said[0] == said[1]
    assert not files(tmp_path / "plan")


def test_a_run_folder_is_looked_at_and_left(
    toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that has begun is planned from where it is, one of other settings refused, a finished one named."""
    long = ("experiment=m2_ped", "trainer.max_epochs=2")
    assert train(toy_world, tmp_path, *long) == 0
    (path,) = (found.parent for found in tmp_path.rglob("fold_*/finished.json"))
    folder = RunFolder(path)
    before = {file: file.stat().st_mtime_ns for file in files(tmp_path)}
    assert plan(toy_world, tmp_path, *long) == 0
    assert "is finished" in capsys.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in files(tmp_path)} == before
    folder.finished.unlink()
    assert plan(toy_world, tmp_path, *long) == 0
    assert "2 epochs, 2 of them done" in capsys.readouterr().out
    shutil.copytree(path, tmp_path / "m2_ped" / "fold_0")
    assert plan(toy_world, tmp_path, "experiment=m2_ped") == 2
    assert "trainer.max_epochs: was 2, now 1" in capsys.readouterr().err


def planned(world: Path, runs: Path, plans: list[Plan], *overrides: str) -> None:
    """Collect the plans of a dry run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pedseg.planning.show", plans.extend)
        assert plan(world, runs, *overrides) == 0
