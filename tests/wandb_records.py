"""What W&B writes to disk."""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_records(path: Path, *, seconds: float = 60.0) -> list[Any]:
    """Messages of a W&B record (`Record` of wandb_internal.proto), once its writer has ended it."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    until = time.monotonic() + seconds
    while True:
        records = [Record.FromString(entry) for entry in entries(path.read_bytes())]
        if records and records[-1].HasField("exit"):
            return records
        assert time.monotonic() < until, f"{path} was not ended"
        time.sleep(0.1)


def entries(data: bytes) -> Iterator[bytes]:
    """Entries of a W&B file: LevelDB's log format (blocks of 32 KiB; checksum, length and kind before each piece)."""
    place, entry = 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # the rest of a block holds no head
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        place += 7 + length
        if place > len(data):  # being written
            return
        entry += data[place - length : place]
        if kind in {1, 4}:  # whole, or the last piece
            yield entry
            entry = b""


def summary_of(records: list[Any]) -> dict[str, Any]:
    """Last value of each name in the summary."""
    changes = [change for record in records if record.HasField("summary") for change in record.summary.update]
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in changes}


def history_of(records: list[Any]) -> list[dict[str, Any]]:
    """Rows of the curves."""
    rows = [record.history.item for record in records if record.HasField("history")]
    return [{item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row} for row in rows]


def run_of(records: list[Any]) -> Any:
    """What is said of the run itself."""
    return next(record.run for record in records if record.HasField("run"))


def sessions(folder: Path) -> list[list[Any]]:
    """Records of a run folder in the order in which they were begun."""
    files = sorted((folder / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.parent.name)
    return [read_records(path) for path in files]
