"""``no`` means no: with words that Hydra hands on as text, nothing is deleted, no label read and no picture drawn."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pedseg.callbacks import SourceSlices
from pedseg.commands import prepare
from pedseg.data.store import CohortStore
from pedseg.runs import RunFolder
from tests.training import train

Audit = Callable[[str, tuple[object, ...]], None]
AUDITS: list[Audit] = []  # those of the interpreter cannot be taken away again


def audit(event: str, arguments: tuple[object, ...]) -> None:
    for one in AUDITS:
        one(event, arguments)


sys.addaudithook(audit)


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_finished_run_is_not_deleted(toy_world: Path, tmp_path: Path) -> None:
    assert train(toy_world, tmp_path, "experiment=m2_ped") == 0
    (config,) = tmp_path.rglob("config.json")
    before = times(config.parent)
    for word in ("no", "off", "'no'", "False"):
        assert train(toy_world, tmp_path, "experiment=m2_ped", f"overwrite={word}") == 0
        after = times(config.parent)
        assert after.keys() == before.keys()
        assert {path for path in before if after[path] != before[path]} <= {config}  # says where the run was last
    assert train(toy_world, tmp_path, "experiment=m2_ped", "overwrite=yes") == 0
    checkpoint = RunFolder(config.parent).checkpoint
    assert times(config.parent)[checkpoint] != before[checkpoint]


def prepared(world: Path, store: Path, labelled: str) -> int:
    paths = [f"paths.{name}={world / name}" for name in ("adult", "ped")]
    return prepare.main(["scale=toy", "workers=1", labelled, *paths, f"paths.store={store}"])


@pytest.mark.parametrize("word", ["no", "off"])
def test_no_label_is_read(toy_world: Path, tmp_path: Path, word: str) -> None:
    """Neither by the preparation nor by a training, which is asked of the interpreter."""
    opened: list[str] = []

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and "PED" in str(arguments[0]) and "-seg.nii" in str(arguments[0]):
            opened.append(str(arguments[0]))

    AUDITS.append(watch)
    try:
        labelled, store = f"data.cohorts.ped.labelled={word}", tmp_path / "store"
        assert prepared(toy_world, store, labelled) == 0
        assert not CohortStore(store / "ped").labelled
        runs, chosen = tmp_path / "runs", f"paths.store={store}"
        assert train(toy_world, runs, "experiment=uda", labelled, chosen) == 0
        assert train(toy_world, runs, "experiment=m2_ped", labelled, chosen) == 2  # that one trains with labels
        assert not opened
        assert not list(runs.rglob("scores.csv"))
        assert prepared(toy_world, tmp_path / "other", "data.cohorts.ped.labelled=yes") == 0
        assert opened
    finally:
        AUDITS.remove(watch)


def test_no_picture_is_written(toy_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[object] = []
    draw = SourceSlices.on_validation_batch_end

    def note(self: SourceSlices, *arguments: object, **named: object) -> None:
        drawn.append(self)
        draw(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(SourceSlices, "on_validation_batch_end", note)
    more = ("experiment=m2_ped", "logger=tensorboard")
    for word in ("no", "off"):
        assert train(toy_world, tmp_path / word, *more, f"callbacks.images={word}") == 0
    assert not drawn
    quiet = {path.stat().st_size for path in tmp_path.rglob("events.*")}
    assert train(toy_world, tmp_path / "yes", *more, "callbacks.images=yes") == 0
    assert drawn
    (events,) = (tmp_path / "yes").rglob("events.*")
    assert events.stat().st_size > max(quiet)
