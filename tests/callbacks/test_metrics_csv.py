"""Training curves across a resume."""

import csv
from pathlib import Path

import pytest

from pedseg.callbacks import MetricsCsv
from pedseg.errors import PedsegError


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_columns_grow_and_blanks_stay(tmp_path: Path) -> None:
    logger = MetricsCsv(tmp_path / "a b" / "metrics.csv")
    logger.log_metrics({"epoch": 0, "train/loss": 1.5}, step=1)
    logger.save()
    logger.log_metrics({"epoch": 0, "val/loss": 2.5}, step=2)
    logger.finalize("success")
    assert read(logger.path) == [
        {"epoch": "0", "step": "1", "train/loss": "1.5", "val/loss": ""},
        {"epoch": "0", "step": "2", "train/loss": "", "val/loss": "2.5"},
    ]


def test_a_resumed_run_keeps_what_it_does_not_repeat(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    first = MetricsCsv(path)
    for epoch in range(3):
        first.log_metrics({"epoch": epoch, "train/loss": epoch}, step=epoch)
    first.save()
    second = MetricsCsv(path, first_epoch=2)
    second.log_metrics({"epoch": 2, "train/loss": 20, "train/alpha": 1}, step=2)
    second.save()
    assert [(row["epoch"], row["train/loss"]) for row in read(path)] == [("0", "0"), ("1", "1"), ("2", "20")]


def test_a_fresh_run_starts_a_fresh_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,train/loss\n0,0,1\n")
    MetricsCsv(path).save()
    assert MetricsCsv(path).rows == []


@pytest.mark.parametrize(
    "content", [b"\xff\xfe{\0}\0", b"epoch,step\nx,1\n", b"epoch,step\n0,1,2\n", b"epoch,step\n0\n", bytes(range(256))]
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    with pytest.raises(PedsegError, match=r"metrics.csv: (cannot be read|not readable) as training curves .*remove it"):
        MetricsCsv(path, first_epoch=2)
    assert path.read_bytes() == content
