"""Loggers of experiment trackers, set up so that a resumed run continues its own record."""

import uuid
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import wandb
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from pedseg.errors import PedsegError
from pedseg.files import write_text


def wandb_logger(
    folder: Path,
    *,
    config: Mapping[str, Any],
    group: str,
    job_type: str,
    project: str,
    entity: str | None,
    offline: bool,
) -> WandbLogger:
    """Weights & Biases: one run per run folder, grouped by experiment, folds as job types.

    The run's id is kept in ``wandb_id``, so a resumed run goes on in the same record. Curves are drawn over epochs.
    Neither code nor machine statistics are sent.

    Args:
        folder: the run's folder.
        config: the whole configuration, plain Python.
        group: name shared by the folds of an experiment.
        job_type: which fold.
        project: W&B project.
        entity: W&B team; None is the user's own.
        offline: write to disk only.
    """
    note = folder / "wandb_id"
    run_id = note.read_text(encoding="utf-8").strip() if note.exists() else uuid.uuid4().hex[:12]
    logger = WandbLogger(
        name=f"{group}/{job_type}",
        save_dir=folder,
        id=run_id,
        project=project,
        entity=entity,
        offline=offline,
        group=group,
        job_type=job_type,
        resume="allow",
        config=dict(config),
        settings=wandb.Settings(disable_code=True, disable_git=True, console="off", x_disable_stats=True, silent=True),
    )
    _begin(logger, note, run_id)
    return logger


@rank_zero_only
def _begin(logger: WandbLogger, note: Path, run_id: str) -> None:
    write_text(note, run_id)
    logger.experiment.define_metric("epoch")
    logger.experiment.define_metric("*", step_metric="epoch")


def tensorboard_logger(folder: Path) -> TensorBoardLogger:
    """TensorBoard events in ``<folder>/tensorboard``; a resumed run appends.

    Raises:
        PedsegError: tensorboard is not installed.
    """
    if find_spec("tensorboard") is None:
        raise PedsegError('logger=tensorboard needs tensorboard; install it with pip install "pedseg[tracking]"')
    return TensorBoardLogger(save_dir=folder, name="tensorboard", version="")


def finish_wandb(loggers: Sequence[Logger], *, failed: bool) -> None:
    """Close the W&B runs among `loggers`, as failed if the job was."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            _finish(logger, failed=failed)


@rank_zero_only
def _finish(logger: WandbLogger, *, failed: bool) -> None:
    logger.experiment.finish(exit_code=int(failed))
