"""MLflow, for places without a cloud: a folder, a database or a server of one's own."""

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray

from pedseg.errors import PedsegError
from pedseg.files import write_text
from pedseg.settings.following import Logger as Settings
from pedseg.settings.outside import About
from pedseg.tracking.tracker import CaseRow, Tracker, noted_id

NOTE = "mlflow_id"  # of the run's folder
LONGEST, AT_ONCE = 500, 100  # characters of a parameter, and parameters in a call, that every store takes
COLOURS = np.array([[0, 0, 0], [0, 114, 178], [230, 159, 0], [204, 121, 167]])  # of regions, from 1
NAME = re.compile(r"[^\w./ -]")
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}


class MlflowRun(Tracker, Logger):
    """One MLflow run per run folder; its id is kept in ``mlflow_id``.

    Nothing is told of the machine, its user, the command line, the code or the packages, and MLflow's own telemetry is
    off.

    Args:
        folder: the run's folder.
        about: what is told before it begins.
        settings: where the record is, and what it takes.

    Raises:
        PedsegError: mlflow is not installed, or the store cannot be used.
    """

    def __init__(self, folder: Path, about: About, settings: Settings) -> None:
        super().__init__()
        if find_spec("mlflow") is None:
            raise PedsegError('logger=mlflow needs mlflow; install it with pip install "pedseg[mlflow]"')
        self.folder, self.about, self.project, self.artifact = folder, about, settings.project, settings.artifact
        self.uri = settings.store if "://" in settings.store else Path(settings.store).resolve().as_uri()
        note = folder / NOTE
        self.fresh = not note.exists()
        self.client: Any = None
        self.run_id = "" if self.fresh else noted_id(note)
        self._begin()

    @rank_zero_only
    def _begin(self) -> None:
        os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
        if self.uri.startswith("file:"):
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        import mlflow  # noqa: PLC0415  (seconds, for one kind of logger)

        try:
            self.client = mlflow.MlflowClient(tracking_uri=self.uri)
            if self.fresh:
                self.run_id = self._created()
                write_text(self.folder / NOTE, self.run_id)
            self.client.update_run(self.run_id, status="RUNNING")
        except (mlflow.MlflowException, OSError) as error:
            raise PedsegError(f"logger=mlflow: {self.uri}: {' '.join(str(error).split())}") from error

    def _created(self) -> str:
        from mlflow.entities import Param  # noqa: PLC0415

        about = self.about
        tags = {
            "mlflow.note.content": about.notes,
            "mlflow.user": "pedseg",
            "mlflow.source.name": "pedseg",
            "group": about.group,
            "job": about.job,
            "tags": ", ".join(about.tags),
        }
        run = self.client.create_run(self._experiment(), tags=tags, run_name=about.name)
        run_id: str = run.info.run_id
        given = [Param(NAME.sub("_", name), str(value)[:LONGEST]) for name, value in _flat(about.config)]
        for start in range(0, len(given), AT_ONCE):
            self.client.log_batch(run_id, params=given[start : start + AT_ONCE])
        return run_id

    def _experiment(self) -> str:
        """Id of the experiment, made if need be; another process may make it in the same moment."""
        from mlflow import MlflowException  # noqa: PLC0415

        found = self.client.get_experiment_by_name(self.project)
        try:
            made: str = found.experiment_id if found else self.client.create_experiment(self.project)
        except MlflowException:
            found = self.client.get_experiment_by_name(self.project)
            if found is None:
                raise
            made = found.experiment_id
        return made

    @property
    def name(self) -> str:
        """The experiment."""
        return self.project

    @property
    def version(self) -> str:
        """The run."""
        return self.run_id

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Nothing: what may be told was told at the beginning."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Points of curves."""
        from mlflow.entities import Metric  # noqa: PLC0415

        now = int(time.time() * 1000)
        points = [Metric(NAME.sub("_", name), float(value), now, step or 0) for name, value in metrics.items()]
        self.client.log_batch(self.run_id, metrics=points)

    @rank_zero_only
    def results(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        """The last point of each value."""
        self.log_metrics({"epoch": epoch, **values}, step=step)

    @rank_zero_only
    def warn(self, title: str, text: str) -> None:
        """A tag."""
        self.client.set_tag(self.run_id, NAME.sub("_", f"warning.{title}"), text)

    @rank_zero_only
    def picture(self, name: str, image: NDArray[np.uint8], *, caption: str, epoch: int) -> None:
        """An image file."""
        del caption
        self.client.log_image(self.run_id, image, f"{name}/{epoch}.png")

    @rank_zero_only
    def cases(self, variant: str, rows: Sequence[CaseRow]) -> None:
        """A table, and a picture for each case with image and masks side by side."""
        for row in rows:
            self.client.log_image(self.run_id, side_by_side(row), f"cases/{variant}/{row.case}.png")
        names = sorted({name for row in rows for name in row.scores})
        columns = {name: [row.scores.get(name) for row in rows] for name in names}
        table = {"case": [row.case for row in rows], **columns}
        self.client.log_table(self.run_id, table, f"cases/{variant}.json")

    @rank_zero_only
    def checkpoint(self, path: Path, *, name: str, about: Mapping[str, Any], origin: str | None) -> None:
        """A file of the run, with what is known of it."""
        self.client.log_artifact(self.run_id, str(path), "checkpoint")
        started = {"starts_from": origin} if origin else {}
        self.client.log_dict(self.run_id, {"name": name, **about, **started}, "checkpoint/about.json")

    @rank_zero_only
    def close(self, *, failed: bool) -> None:
        """End the session."""
        self.client.set_terminated(self.run_id, "FAILED" if failed else "FINISHED")


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def side_by_side(row: CaseRow) -> NDArray[np.uint8]:
    """The slice alone, and under each of its masks, as one picture (H, W · panels, 3)."""
    grey = np.repeat(row.image[..., None], 3, axis=2)
    painted = [np.where(mask[..., None] > 0, (grey + COLOURS[mask]) / 2, grey) for mask in row.masks.values()]
    return np.concatenate([grey, *painted], axis=1).astype(np.uint8)
