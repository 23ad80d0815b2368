"""Dice of TC and of WT of every model of the benchmark between the bounds."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pedseg.gap.benchmark import LOWER, UPPER
from pedseg.gap.roles import Role
from pedseg.gap.rows import Row
from pedseg.reporting.figures.style import BLACK, GREY

# Marker of each role, and whether it is filled; colours stand for regions and tissues elsewhere.
MARKERS = {Role.BOUND: ("D", True), Role.SUPERVISED: ("s", False), Role.CONTROL: ("o", False), Role.METHOD: ("o", True)}
PANELS = ("tc", "wt")


def gap_figure(rows: Sequence[Row], *, title: str = "") -> Figure:
    """Draw a dot with its 95 % interval for each model, and lines at 1* and 3*; the table's first row is on top."""
    figure = Figure(figsize=(9.6, 0.3 * len(rows) + 1.7), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(1, len(PANELS), sharey=True)
    for axis, region in zip(axes, PANELS, strict=True):
        _panel(axis, rows, region)
        axis.set_title(f"Dice of {region.upper()}")
    axes[0].set_yticks(range(len(rows)), [row.entry.title for row in rows])
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    roles = [role for role in Role if any(row.entry.role is role for row in rows)]
    handles = [Line2D([], [], **_look(role), label=role.value) for role in roles]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _panel(axis: Axes, rows: Sequence[Row], region: str) -> None:
    for bound in (LOWER, UPPER):
        value = next(row.dice[region].value for row in rows if row.entry.bound == bound)
        axis.axvline(value, color=GREY, linestyle="--", linewidth=1.0, zorder=1)
        axis.annotate(
            bound, (value, 1.0), xycoords=axis.get_xaxis_transform(), xytext=(2, -1), textcoords="offset points",
            va="top", color=GREY, size=8,
        )  # fmt: skip
    for place, row in enumerate(rows):
        estimate = row.dice[region]
        axis.plot([estimate.low, estimate.high], [place, place], color=GREY, linewidth=1.6, zorder=2)
        axis.plot(estimate.value, place, **_look(row.entry.role), zorder=3)
    axis.grid(axis="x")
    axis.tick_params(axis="y", length=0)


def _look(role: Role) -> dict[str, Any]:
    marker, filled = MARKERS[role]
    return {"color": BLACK, "linestyle": "", "marker": marker, "markersize": 5, "mfc": BLACK if filled else "white"}


def gap_data(rows: Sequence[Row]) -> pd.DataFrame:
    """What `gap_figure` draws, a row per model and region."""
    return pd.DataFrame(
        {
            "model": row.entry.title,
            "role": row.entry.role.value,
            "region": region,
            "dice": row.dice[region].value,
            "low": row.dice[region].low,
            "high": row.dice[region].high,
        }
        for row in rows
        for region in PANELS
    )
