"""Weights & Biases, told of what is computed, and neither where nor by whom."""

import logging
import os
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray

from pedseg.errors import PedsegError
from pedseg.files import write_text
from pedseg.health import Epoch
from pedseg.labels import Region
from pedseg.settings.following import Logger as Settings
from pedseg.settings.outside import About
from pedseg.tracking.adversary_chart import log_adversary
from pedseg.tracking.tracker import CaseRow, Tracker, noted_id

# Settings with which W&B tells nothing of the machine, its user, the command line, the code and the packages. An empty
# host keeps it from asking for the machine's name.
PRIVATE: Mapping[str, Any] = {
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "save_code": False,
    "console": "off",
    "host": "",
    "program": "pedseg",
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}
NOTE = "wandb_id"  # of the run's folder
SWEEP_ID, RUN_ID, DATA_DIR = "WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_DATA_DIR"  # variables of its environment
CLASSES = {number: region.upper() for number, region in enumerate(map(str, Region), start=1)}

log = logging.getLogger(__name__)


class WandbRun(WandbLogger, Tracker):
    """One W&B run per run folder, grouped by experiment, with folds as job types.

    Its id is kept in ``wandb_id``, so that whatever comes later goes on in the same record. Where an agent of a sweep
    has started the command, the run is the agent's. Curves are drawn over epochs. Neither code nor machine statistics
    are sent, nor who runs it where: see `PRIVATE`.

    Args:
        folder: the run's folder.
        about: what is told before it begins.
        settings: where the record is, and what it takes.

    Raises:
        PedsegError: W&B cannot be reached, or does not know the user.
    """

    def __init__(self, folder: Path, about: About, settings: Settings) -> None:
        import wandb  # noqa: PLC0415  (half a second, for one kind of logger)

        logging.getLogger("wandb").setLevel(logging.WARNING)  # its log beside the record names folders
        kept, run_id = kept_id(folder), wanted_id(folder) or uuid.uuid4().hex[:12]
        self.folder, self.run_id, self.fresh, self.artifact = folder, run_id, run_id != kept, settings.artifact
        own: dict[str, Any] = {}
        if self.fresh:
            own |= {"tags": list(about.tags), "notes": about.notes}  # which may be edited there later
        if not os.environ.get(SWEEP_ID):
            own |= {"project": settings.project, "entity": settings.entity}  # a sweep has its own
        super().__init__(
            name=about.name,
            save_dir=folder,
            id=run_id,
            offline=settings.offline,
            group=about.group,
            job_type=about.job,
            resume="allow",
            config=dict(about.config),
            settings=wandb.Settings(**PRIVATE, silent=True),
            **own,
        )
        self._wandb_init.pop("anonymous", None)  # W&B warns of it whatever its value
        self._begin()

    @rank_zero_only
    def _begin(self) -> None:
        import wandb  # noqa: PLC0415

        try:
            run = self.experiment
        except wandb.errors.Error as error:
            said = " ".join(str(error).split())
            raise PedsegError(f"logger=wandb: {said}; give logger.offline=true to write to disk only") from error
        write_text(self.folder / NOTE, self.run_id)
        run.define_metric("epoch")
        run.define_metric("*", step_metric="epoch")

    @rank_zero_only
    def results(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        """A row of the history, and the summary."""
        self.log_metrics({"epoch": epoch, **values}, step=step)
        self.experiment.summary.update(dict(values))

    @rank_zero_only
    def adversary(self, values: Mapping[str, float], *, step: int, history: Sequence[Epoch]) -> None:
        """The section ``adversary``, with a chart."""
        log_adversary(self, values, step=step, history=history)

    @rank_zero_only
    def warn(self, title: str, text: str) -> None:
        """An alert, which W&B sends on by mail or Slack."""
        self.experiment.alert(title=title, text=text, level="WARN")

    @rank_zero_only
    def picture(self, name: str, image: NDArray[np.uint8], *, caption: str, epoch: int) -> None:
        """An image."""
        del epoch
        self.log_image(name, [image], caption=[caption])

    @rank_zero_only
    def cases(self, variant: str, rows: Sequence[CaseRow]) -> None:
        """A table with a picture for each case, whose masks can be switched."""
        import wandb  # noqa: PLC0415

        names = sorted({name for row in rows for name in row.scores})
        data: list[Any] = [[row.case, _image(row), *(row.scores.get(name) for name in names)] for row in rows]
        with self._staged():
            self.experiment.log({f"cases/{variant}": wandb.Table(columns=["case", "image", *names], data=data)})

    @rank_zero_only
    def checkpoint(self, path: Path, *, name: str, about: Mapping[str, Any], origin: str | None) -> None:
        """An artifact that the run has made, from another one where W&B can be asked for that."""
        import wandb  # noqa: PLC0415

        run = self.experiment
        if origin and not run.offline:
            try:
                run.use_artifact(f"{artifact_name(origin)}:last")
            except (wandb.errors.CommError, ValueError) as error:
                log.warning("W&B has no artifact %s to name as the origin: %s", artifact_name(origin), error)
        started = {"starts_from": artifact_name(origin)} if origin else {}
        artifact = wandb.Artifact(artifact_name(name), "model", metadata={**about, **started})
        artifact.add_file(str(path), name=path.name, policy="immutable", skip_cache=True)
        run.log_artifact(artifact, aliases=["last"])

    @rank_zero_only
    def close(self, *, failed: bool) -> None:
        """End the W&B run, as failed if the job was."""
        self.experiment.finish(exit_code=int(failed))

    @contextmanager
    def _staged(self) -> Iterator[None]:
        """Let files wait for W&B beside the record, and not in the user's home."""
        before = os.environ.get(DATA_DIR)
        os.environ[DATA_DIR] = str(self.folder / "wandb" / f"staged-{self.run_id}")
        try:
            yield
        finally:
            if before is None:
                del os.environ[DATA_DIR]
            else:
                os.environ[DATA_DIR] = before


def kept_id(folder: Path) -> str | None:
    """Id of the W&B run that a run folder has; None if there is none."""
    note = folder / NOTE
    return noted_id(note) if note.exists() else None


def wanted_id(folder: Path) -> str | None:
    """Id of the W&B run that a command goes on with: the agent's, where one has started it."""
    return (os.environ.get(RUN_ID) if os.environ.get(SWEEP_ID) else None) or kept_id(folder)


def artifact_name(name: str) -> str:
    """A name as W&B takes it."""
    return re.sub(r"[^\w.-]+", "-", name)[-128:]


def _image(row: CaseRow) -> Any:  # noqa: ANN401  (wandb.Image)
    import wandb  # noqa: PLC0415

    masks = {name: {"mask_data": mask, "class_labels": CLASSES} for name, mask in row.masks.items()}
    return wandb.Image(row.image, masks=masks)
