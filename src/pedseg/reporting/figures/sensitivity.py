"""What other assumed shares would have given."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pedseg.reporting.figures.style import REGION_COLOURS

DICE, SHARE = "dice", "share"
LABELS = {SHARE: "share, mean and quartiles", DICE: "Dice, mean over cases"}


def sensitivity_figure(table: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw share and, where it is known, Dice of each part against the share that is assumed; a row for each model.

    Args:
        table: as `pedseg.reporting.sensitivity.assumed_shares` returns it, not empty.
        title: of the figure.
    """
    models = list(table.groupby("model", sort=False))
    shown = [SHARE, DICE] if table[DICE].notna().any() else [SHARE]
    figure = Figure(figsize=(4.4 * len(shown), 2.4 * len(models) + 0.6), layout="constrained")
    figure.suptitle(title)
    rows = figure.subplots(len(models), len(shown), sharex=True, squeeze=False)
    for axes, (name, of_model) in zip(rows, models, strict=True):
        axes[0].set_title(name)
        for axis, what in zip(axes, shown, strict=True):
            _draw(axis, of_model, what)
    for axis in rows[-1]:
        axis.set_xlabel("assumed share of the region around it")
    rows[0, 0].legend(loc="upper left")
    return figure


def _draw(axis: Axes, table: pd.DataFrame, what: str) -> None:
    for part, rows in table.groupby("region"):
        colour = REGION_COLOURS[str(part)]
        if what == SHARE:
            axis.fill_between(rows["assumed"], rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0)
        axis.plot(rows["assumed"], rows[what], color=colour, label=str(part).upper())
    axis.set_ylabel(LABELS[what])
    axis.set_ylim(0, 1)
    axis.grid()
