"""Training curves as a CSV that survives a resumed run."""

import csv
import io
import math
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from pedseg.errors import PedsegError
from pedseg.files import atomic_path, read_text


class MetricsCsv(Logger):
    """Keep ``metrics.csv``: a row per logged step, a column per metric, blank where nothing was logged.

    Lightning's own CSVLogger deletes the rows of the run it continues. This one reads them back, drops those of
    epochs that are trained again, and writes the whole file atomically at each save.

    Args:
        path: the file.
        first_epoch: epoch the run begins or continues with; earlier rows of an existing file are kept.

    Raises:
        PedsegError: the file that is there holds something else.
    """

    def __init__(self, path: Path, *, first_epoch: int = 0) -> None:
        super().__init__()
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            self.rows = [row for row in _read(path) if float(row["epoch"] or 0) < first_epoch]

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.parent.name

    @property
    def version(self) -> str:
        """There is one version only."""
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> "MetricsCsv":
        """The logger itself."""
        return self

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Nothing: the configuration lies beside the file."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a row."""
        self.rows.append({"step": step, **metrics})

    @rank_zero_only
    def save(self) -> None:
        """Write every row, atomically."""
        if not self.rows:
            return
        columns = sorted({key for row in self.rows for key in row} - {"epoch", "step"})
        with atomic_path(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=["epoch", "step", *columns], restval="")
            writer.writeheader()
            writer.writerows(self.rows)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is left, however the run ended."""
        del status
        self.save()


def _read(path: Path) -> list[dict[str, Any]]:
    """Rows of an earlier part of the run.

    Raises:
        PedsegError: they are none.
    """
    try:
        rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(read_text(path, what="training curves"))))
        _check(rows)
    except (ValueError, csv.Error) as error:
        raise PedsegError(
            f"{path}: cannot be read as training curves ({error}); restore it, or remove it to go on without them"
        ) from error
    return [{"epoch": "", **row} for row in rows]


def _check(rows: list[dict[str, Any]]) -> None:
    if not rows:
        raise ValueError("it is empty")
    for row in rows:
        if None in row or None in row.values():
            raise ValueError("a row has other columns than the first")
        if not math.isfinite(float(row.get("epoch") or 0)):
            raise ValueError("an epoch is no number")
