"""Trainings that are told to stop before their last epoch: they say so, are not scored, and go on to the same bits."""

from pathlib import Path

import pytest

from pedseg.commands.jobs import STOPPED_EARLY
from pedseg.runs import RunFolder
from tests.training import assert_same_bits, rows, train, weights

LONG = ("experiment=uda", "trainer.max_epochs=3", "trainer.limit_train_batches=4", "callbacks.checkpoint_every=5")


def folder_of(runs: Path) -> RunFolder:
    (config,) = runs.rglob("config.json")
    return RunFolder(config.parent)


@pytest.fixture(scope="module")
def whole(toy_world: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run that nothing stops."""
    runs = tmp_path_factory.mktemp("whole")
    assert train(toy_world, runs, *LONG) == 0
    return folder_of(runs)


@pytest.mark.parametrize(
    ("limit", "done"),
    [
        ("trainer.max_steps=6", 1),  # in the middle of the second epoch
        ("trainer.max_steps=8", 2),  # at its end
        ("trainer.max_steps=3", 0),
        ("trainer.max_time=00:00:00:00", 0),
    ],
)
def test_a_run_that_was_stopped_says_so_and_goes_on(
    toy_world: Path, tmp_path: Path, whole: RunFolder, capsys: pytest.CaptureFixture[str], limit: str, done: int
) -> None:
    assert train(toy_world, tmp_path, *LONG, limit) == STOPPED_EARLY
    said = f"stopped after epoch {done} of 3 ({limit}); the same command without it continues"
    folder = folder_of(tmp_path)
    assert said in capsys.readouterr().out
    assert said in folder.log.read_text()
    assert folder.path.relative_to(tmp_path) == whole.path.relative_to(whole.path.parents[2])  # the limit names no run
    assert not folder.finished.exists()
    assert not folder.variant("plain").scores.exists()
    assert not folder.predictions.exists()
    assert folder.checkpoint.exists() == (done > 0)
    assert train(toy_world, tmp_path, *LONG) == 0
    assert (f"continuing at epoch {done + 1}" in capsys.readouterr().out) == (done > 0)
    assert folder.finished.exists()
    assert_same_bits(weights(folder.path), weights(whole.path))
    assert folder.variant("plain").scores.read_text() == whole.variant("plain").scores.read_text()
    assert [row["epoch"] for row in rows(folder.metrics) if row["train/loss"]] == ["0", "1", "2"]


def test_a_limit_of_time_is_of_each_call(toy_world: Path, tmp_path: Path) -> None:
    """Stopped twice in its first epoch, it still finishes when there is time; Lightning's limit would remember."""
    for limit in ("00:00:00:00", "00:00:00:00"):
        assert train(toy_world, tmp_path, *LONG, f"trainer.max_time={limit}") == STOPPED_EARLY
    assert train(toy_world, tmp_path, *LONG, "trainer.max_time=00:01:00:00") == 0
    assert folder_of(tmp_path).finished.exists()


def test_a_trial_keeps_nothing(toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(toy_world, tmp_path, *LONG, "trainer.fast_dev_run=yes") == STOPPED_EARLY
    assert "tried 1 batch (trainer.fast_dev_run); nothing was kept" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_an_epoch_has_steps(toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(toy_world, tmp_path, *LONG, "trainer.limit_train_batches=0") == 2
    assert "trainer.limit_train_batches=0: should be greater than or equal to 1" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
