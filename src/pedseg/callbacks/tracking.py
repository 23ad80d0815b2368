"""Loggers of experiment trackers, set up so that a resumed run continues its own record."""

import logging
import math
import uuid
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from pedseg.errors import PedsegError
from pedseg.files import write_text
from pedseg.health import CHANCE, Epoch

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
    Neither code nor machine statistics are sent, nor who runs it where: see `PRIVATE`.

    Args:
        folder: the run's folder.
        config: settings that may leave the machine, plain Python.
        group: name shared by the folds of an experiment.
        job_type: which fold.
        project: W&B project.
        entity: W&B team; None is the user's own.
        offline: write to disk only.
    """
    import wandb  # noqa: PLC0415  (half a second, for one kind of logger)

    logging.getLogger("wandb").setLevel(logging.WARNING)  # its log beside the record names folders

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
        settings=wandb.Settings(**PRIVATE, silent=True),
    )
    _begin(logger, note, run_id)
    return logger


@rank_zero_only
def _begin(logger: WandbLogger, note: Path, run_id: str) -> None:
    write_text(note, run_id)
    logger.experiment.define_metric("epoch")
    logger.experiment.define_metric("*", step_metric="epoch")


def log_adversary(
    logger: WandbLogger, values: Mapping[str, float], *, step: int, history: Sequence[Epoch] = ()
) -> None:
    """Show the health of the adversary at one place of the dashboard: the section ``adversary``.

    W&B sorts curves into sections by what stands before the first slash of a name, so values that are also among the
    ``train/`` curves are sent under ``adversary/`` once more. A workspace's own panels of several curves can only be
    made on the server; what a run can bring along, offline too, is a custom chart. It is sent whole each time, and
    W&B shows the last: accuracies, and on their scale α as a fraction of its largest value so far, λ·L_d as a fraction
    of its value at chance, λ·ln 2, and the decimal logarithm of the gradient ratio.

    Args:
        logger: the logger.
        values: of an epoch, by name; those that are not finite are left out.
        step: optimiser steps done.
        history: epochs that the chart shows; none for no chart.
    """
    kept = {f"adversary/{name}": value for name, value in values.items() if name != "number" and math.isfinite(value)}
    logger.log_metrics({"epoch": values["number"], **kept}, step=step)
    if not history:
        return
    lines = {name: points for name, points in _panel_lines(history).items() if points}
    import wandb  # noqa: PLC0415  (an experiment logged there has loaded it)

    chart = wandb.plot.line_series(
        xs=[[x for x, _ in points] for points in lines.values()],
        ys=[[y for _, y in points] for points in lines.values()],
        keys=list(lines),
        title="Health of the adversary",
        xname="epoch",
    )
    table: Any = chart.table
    table.bind_to_run(logger.experiment, "adversary/panel_table", step)  # a file of the record, none in the user's home
    logger.experiment.log({"adversary/panel": chart, "epoch": values["number"], "trainer/global_step": step})


def _panel_lines(history: Sequence[Epoch]) -> dict[str, list[tuple[int, float]]]:
    """Points (epoch, value) of each line of the chart."""
    largest = max((epoch.alpha for epoch in history if epoch.alpha > 0), default=1.0)
    values = {
        "domain accuracy, source": [epoch.accuracy_source for epoch in history],
        "domain accuracy, target": [epoch.accuracy_target for epoch in history],
        f"alpha / {largest:.3g}": [epoch.alpha / largest for epoch in history],
        "lambda L_d / (lambda ln 2)": [epoch.loss_domain / CHANCE for epoch in history],
        "log10 gradient ratio": [
            math.log10(epoch.gradient_ratio) if epoch.gradient_ratio > 0 else math.nan for epoch in history
        ],
    }
    return {
        name: [(epoch.number, y) for epoch, y in zip(history, line, strict=True) if math.isfinite(y)]
        for name, line in values.items()
    }


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
