"""Whatever JSON stands in place of a value of a record: it is read, or refused with the name of its file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pedseg.calibration.record import read_thresholds
from pedseg.cases.label_maps import read_record, recorded_convention
from pedseg.choosing.validators import read_validators
from pedseg.errors import PedsegError
from pedseg.evaluation.postprocessing.folders import read_applied
from pedseg.evaluation.postprocessing.keep_largest import read_choice
from pedseg.folds import read_nnunet_splits
from pedseg.locks import NAME as LOCK
from pedseg.locks import writing
from pedseg.ownership import NAME as OWNED
from pedseg.ownership import clear
from tests.faults.mutate import HOSTILE, REMOVED, SYNTAX, changed, leaves

DIGEST = "0" * 64
Read = Callable[[Path], object]


def locked(path: Path) -> None:
    with writing(path.parent):
        pass


def owned(path: Path) -> None:
    clear(path.parent)
    path.parent.mkdir(exist_ok=True)


RECORDS: dict[str, tuple[Read, str, Any]] = {
    "predictions": (
        read_record,
        "predictions.json",
        {"checkpoints": [DIGEST], "convention": "brats2023", "missing_sequences": {"a": ["t1n"]}, "inputs": {}},
    ),
    "convention": (lambda path: recorded_convention(path.parent), "predictions.json", {"convention": "brats2023"}),
    "rules": (
        lambda path: read_applied(path.parent),
        "rules.json",
        {"rules": ["x"], "convention": "brats2023", "inputs": {"a": DIGEST}, "changes": {"a": {"wt": 3}}},
    ),
    "choice": (read_choice, "postprocessing.json", {"keep_largest": ["wt", "et"], "on_evaluated_cases": True}),
    "thresholds": (read_thresholds, "thresholds.json", {"thresholds": {"wt": 0.0, "tc": -1.5, "et": 2}}),
    "validators": (
        read_validators,
        "validators.json",
        {
            "checkpoint": DIGEST,
            "settings": {"target": [["ped", "a"]]},
            "target_labels": False,
            "synthetic": True,
            "scores": {"snd": 1.0, "dev": None},
            "details": {"compared_with": ["x"]},
        },
    ),
    "splits": (lambda path: read_nnunet_splits(path, ["a", "b"]), "splits.json", [{"train": ["a"], "val": ["b"]}]),
    "files": (owned, OWNED, ["a.txt", "b/"]),
    "lock": (locked, LOCK, {"host": "x", "numbers": "", "pid": 2**30, "began": "1", "key": "k", "restarts": 0}),
}
NOT_OF_LOCKS = [name for name in RECORDS if name != "lock"]


@pytest.mark.parametrize("kind", NOT_OF_LOCKS)
def test_every_value_of_every_record(kind: str, tmp_path: Path) -> None:
    read, name, right = RECORDS[kind]
    (tmp_path / name).write_text(json.dumps(right))
    read(tmp_path / name)
    tried = [(place, value) for place in leaves(right) for value in (*HOSTILE, REMOVED)]
    for place, value in tried:
        (tmp_path / name).write_text(json.dumps(changed(right, place, value)))
        _read(read, tmp_path / name)
    for content in SYNTAX.values():
        (tmp_path / name).write_bytes(content)
        _read(read, tmp_path / name)
    assert len(tried) >= len(HOSTILE)


def test_locks_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pedseg.locks.LOST_S", 0.01)
    read, name, right = RECORDS["lock"]
    for place in leaves(right):
        for value in HOSTILE[::4]:
            (tmp_path / name).write_text(json.dumps(changed(right, place, value)))
            read(tmp_path / name)
            (tmp_path / name).unlink(missing_ok=True)
            tmp_path.mkdir(exist_ok=True)


def _read(read: Read, path: Path) -> None:
    try:
        read(path)
    except PedsegError as error:
        assert str(path.parent) in str(error)  # noqa: PT017  (it need not be raised)
