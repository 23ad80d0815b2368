"""Where runs stand, of real runs: finished, failed, stopped, killed, running, and those that a sweep has not begun."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pedseg.commands import status
from pedseg.standing import State, runs_below, standing_of
from tests.training import arguments, spawn, train

EXPERIMENT = "experiment=m2_ped"
RUN = Path("m2_ped") / "fold_0"


def test_a_finished_run_and_one_that_has_not_begun(
    toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(toy_world, tmp_path, EXPERIMENT) == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    capsys.readouterr()
    assert status.main([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[1].split()[:3] == [str(tmp_path / RUN), "finished", "1/1"]
    assert said.splitlines()[1].split()[-1] == "plain"
    assert said.splitlines()[-1] == "1 run: 1 finished"
    assert status.main(["-m", *arguments(toy_world, tmp_path, EXPERIMENT, "fold=0,1")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 runs: 1 finished, 1 not begun"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_failed_run_says_why_until_it_is_continued(toy_world: Path, tmp_path: Path) -> None:
    failing = (EXPERIMENT, "optimizer.lr=1e30")
    assert train(toy_world, tmp_path, *failing) == 2
    (run,) = runs_below([tmp_path])
    standing = standing_of(run)
    assert standing.state is State.FAILED
    assert standing.text.startswith("the loss of epoch 1 is nan")


def test_a_run_that_a_limit_stopped_is_left_with_its_epochs(toy_world: Path, tmp_path: Path) -> None:
    two = (EXPERIMENT, "trainer.max_epochs=2")
    assert train(toy_world, tmp_path, *two, "trainer.max_steps=2") == 3
    (run,) = runs_below([tmp_path])
    standing = standing_of(run)
    assert (standing.state, standing.epochs, standing.of) == (State.STOPPED, 1, 2)
    assert standing.left_s is not None
    assert "max_steps=2" in standing.text
    assert train(toy_world, tmp_path, *two) == 0
    standing = standing_of(run)
    assert (standing.state, standing.epochs, standing.left_s, standing.text) == (State.FINISHED, 2, None, "")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_at_work_and_after_a_signal(toy_world: Path, tmp_path: Path, number: signal.Signals) -> None:
    run = tmp_path / "m2_ped" / "trainer.max_epochs=500" / "fold_0"
    with subprocess.Popen(
        spawn(toy_world, tmp_path, EXPERIMENT, "trainer.max_epochs=500"), stdout=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 120
        while standing_of(run).epochs < 2:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        standing = standing_of(run)
        assert standing.state is State.RUNNING
        assert standing.loss is not None
        watching = subprocess.Popen(
            [sys.executable, "-m", "pedseg", "status", "--watch", str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert f"process {process.pid} on" in standing.text
        process.send_signal(number)
        process.wait(120)
        said, _ = watching.communicate(timeout=120)
        assert said.splitlines()[-1] == "1 run: 1 stopped"
    standing = standing_of(run)
    assert standing.state is State.STOPPED
    assert standing.text == "by SIGTERM" if number is signal.SIGTERM else "is gone; the same" in standing.text


def test_a_folder_without_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status.main([str(tmp_path)]) == 2
    assert "no fold_*/config.json in it" in capsys.readouterr().err


def test_a_damaged_run_does_not_hide_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("a", "{"), ("b", "[]")):
        (tmp_path / name / "fold_0").mkdir(parents=True)
        (tmp_path / name / "fold_0" / "config.json").write_text(text)
    assert status.main([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "2 runs: 2 failed"
    assert str(tmp_path / "a" / "fold_0" / "config.json") in said
