"""The health of an adversary as W&B shows it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch.loggers import WandbLogger

from pedseg.health import CHANCE, Epoch


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
