"""Dice of TC and of WT of every model of the benchmark between the bounds."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pedseg.gap.benchmark import LOWER, UPPER
from pedseg.gap.roles import Role
from pedseg.gap.rows import Row
from pedseg.reporting.figures.style import BLUE, GREY, ORANGE, RED

COLOURS = {Role.BOUND: "black", Role.SUPERVISED: RED, Role.CONTROL: ORANGE, Role.METHOD: BLUE}
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
    handles = [Line2D([], [], color=COLOURS[role], marker="o", label=role.value) for role in roles]
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
        estimate, colour = row.dice[region], COLOURS[row.entry.role]
        axis.plot([estimate.low, estimate.high], [place, place], color=colour, linewidth=1.6, zorder=2)
        axis.plot(estimate.value, place, "o", color=colour, markersize=5, zorder=3)
    axis.grid(axis="x")
    axis.tick_params(axis="y", length=0)
