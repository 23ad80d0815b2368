"""The rule "TC := WT" beside each model's own TC, among children with and without much oedema."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pedseg.reporting.core_rule import STRATA, cases_of
from pedseg.reporting.figures.style import BLACK, GREY, REGION_COLOURS

PANELS = STRATA[1:3]
OWN = REGION_COLOURS["tc"]


def core_rule_figure(table: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw both Dice of TC, and the share of WT that each model calls core.

    Args:
        table: as `pedseg.reporting.core_rule.rule_table` returns it, not empty.
        title: of the figure.
    """
    names = list(dict.fromkeys(table["model"]))
    panels = [stratum for stratum in PANELS if (table["cases"] == stratum).any()]
    figure = Figure(figsize=(3.2 * len(panels) + 3.4, 0.27 * len(names) + 1.7), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(1, len(panels) + 1, sharey=True, squeeze=False)[0]
    for axis, stratum in zip(axes, panels, strict=False):
        _dice(axis, _rows(table, stratum, names))
        axis.set_title(f"{stratum} ({cases_of(table, stratum)})")
    _shares(axes[-1], _rows(table, STRATA[0], names))
    axes[-1].set_title(f"{STRATA[0]} ({cases_of(table, STRATA[0])})")
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    handles = [
        Line2D([], [], color=OWN, marker="o", linestyle="", label="the model's own"),
        Line2D([], [], color=BLACK, marker="|", markersize=9, label="all of its WT called core: bounds"),
        Line2D([], [], color=GREY, linestyle="--", label="in the labels"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _rows(table: pd.DataFrame, stratum: str, names: list[str]) -> pd.DataFrame:
    return table[table["cases"] == stratum].set_index("model").reindex(names)


def _dice(axis: Axes, rows: pd.DataFrame) -> None:
    places = np.arange(len(rows))
    axis.hlines(places, rows["lower"], rows["upper"], color=BLACK, linewidth=2.2, zorder=2)
    axis.plot(rows["independent"], places, "|", color=BLACK, markersize=9, zorder=3)
    axis.plot(rows["tc"], places, "o", color=OWN, markersize=5, zorder=4)
    axis.set_xlabel("Dice of TC, mean over cases")
    _clean(axis)


def _shares(axis: Axes, rows: pd.DataFrame) -> None:
    places = np.arange(len(rows))
    axis.vlines(rows["true_share"], places - 0.5, places + 0.5, color=GREY, linestyle="--", linewidth=1.2)
    axis.plot(rows["predicted_share"], places, "o", color=OWN, markersize=5)
    axis.set_xlabel("TC / WT, mean over cases")
    _clean(axis)


def _clean(axis: Axes) -> None:
    axis.set_xlim(0.3, 1.02)
    axis.grid(axis="x")
    axis.tick_params(axis="y", length=0)
