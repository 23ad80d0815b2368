"""Style of the pictures, and the distributions of the scores."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from pedseg.files import atomic_path, write_text
from pedseg.pages.document import Picture
from pedseg.reporting.paper import REGIONS
from pedseg.reporting.rows import Model, pick
from pedseg.sinks import csv_text

# Okabe and Ito's colours, which colour-blind readers can tell apart
BLUE, SKY, ORANGE, RED = "#0072B2", "#56B4E9", "#E69F00", "#D55E00"
GREEN, PURPLE, GREY = "#009E73", "#CC79A7", "#7F7F7F"
YELLOW, VIOLET, BLACK = "#F0E442", "#5B2C83", "#000000"
# One colour has one meaning in all pictures.
REGION_COLOURS = {"et": BLUE, "tc": ORANGE, "wt": GREEN}
ERROR_COLOURS = {"missed": RED, "too much": PURPLE, "tumour, of another tissue": YELLOW}  # by code
SOURCE, TARGET, ADVERSARY = SKY, BLACK, VIOLET
TITLES = {"dice": "Dice", "hd95_mm": "HD95 (mm)"}
RESOLUTION = 200  # dots per inch of PNG, and of images within SVG and PDF
METADATA: dict[str, dict[str, Any]] = {  # endings; no dates, so that the same figure is the same file
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {},
}
LINEAR_UP_TO_MM = 10  # HD95 axes are linear to here and logarithmic beyond
HD95_TICKS = (0, 2, 5, 10, 30, 100, 374)
HD95_TOP = 480
STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.titlesize": 12,
    "font.size": 9,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "pdf.fonttype": 42,  # text that editors can change
    "svg.hashsalt": "pedseg",
}
FEW_CASES = 30  # so few dots are drawn larger
LONG_NAME = 14  # characters of a line of a model's name below its boxes

mpl.rcParams.update(STYLE)


def save(figure: Figure, path: Path, *, caption: str, data: pd.DataFrame | None = None) -> Picture:
    """Write a figure as SVG, PDF and PNG, and what it shows as CSV, each atomically.

    Args:
        figure: drawn.
        path: without ending.
        caption: of the figure.
        data: what is drawn; None for images.
    """
    figure.draw_without_rendering()  # lays it out, once for all files
    figure.set_layout_engine("none")
    files = {ending: path.with_name(f"{path.name}.{ending}") for ending in (*METADATA, "csv")}
    for ending, metadata in METADATA.items():
        with atomic_path(files[ending]) as temporary:
            figure.savefig(temporary, dpi=RESOLUTION, metadata=metadata)
    if data is not None:
        write_text(files["csv"], csv_text(data.assign(caption=caption)))
    also = [files[ending] for ending in ("pdf", "png", *(["csv"] if data is not None else []))]
    return Picture(files["svg"], caption, data, also)


def box_plots(models: Sequence[Model], *, names: Mapping[str, str] | None = None, title: str = "") -> Figure:
    """Dice and HD95 of every model, a box per region; each case is a dot, the diamond is the mean.

    Args:
        models: in their order.
        names: short ones by name.
        title: of the figure.
    """
    figure = Figure(figsize=(max(6.0, 0.9 * len(models) + 2.0), 6.4), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(2, 1, sharex=True)
    rng = np.random.default_rng(0)  # spreads the dots
    for axis, metric in zip(axes, TITLES, strict=True):
        for offset, region in enumerate(REGIONS):
            columns = [pick(model.scores, metric, region).dropna().to_numpy() for model in models]
            boxes(axis, columns, places=4 * np.arange(len(models)) + offset, colours=REGION_COLOURS[region], rng=rng)
        set_scale(axis, metric)
    wrapped = [wrap((names or {}).get(model.name, model.name)) for model in models]
    axes[1].set_xticks(4 * np.arange(len(models)) + 1, wrapped)
    handles = [Patch(color=REGION_COLOURS[region], alpha=0.6, label=region.upper()) for region in REGIONS]
    axes[0].legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
    return figure


def wrap(name: str) -> str:
    """Break a name into lines, at its spaces and underscores, so that names do not overlap."""
    lines = [""]
    for word in re.split(r"(?<=[ _/,=])", name):
        if lines[-1] and len(lines[-1]) + len(word) > LONG_NAME:
            lines.append("")
        lines[-1] += word
    return "\n".join(line.rstrip() for line in lines)


def set_scale(axis: Axes, metric: str, *, headroom: float = 0.0) -> None:
    """Set range, ticks and label of an axis of scores; HD95 is logarithmic beyond 10 mm, as a missed region has 374."""
    axis.set_ylabel(TITLES[metric])
    axis.grid(axis="y")
    if metric == "dice":
        axis.set_ylim(-0.03, 1.03 + headroom)
        axis.set_yticks(np.linspace(0, 1, 6))
        return
    axis.set_yscale("symlog", linthresh=LINEAR_UP_TO_MM, linscale=1)
    axis.set_ylim(-0.4, HD95_TOP * 10**headroom)
    axis.set_yticks(HD95_TICKS, [str(tick) for tick in HD95_TICKS])
    axis.minorticks_off()


def boxes(
    axis: Axes,
    columns: Sequence[NDArray[np.float64]],
    *,
    places: Sequence[float] | NDArray[np.int64],
    colours: str | Sequence[str],
    rng: np.random.Generator,
) -> None:
    """Draw a box over the dots of each column of scores; a column may be empty."""
    of_each = [colours] * len(columns) if isinstance(colours, str) else list(colours)
    for place, column, colour in zip(places, columns, of_each, strict=True):
        if len(column):
            spread = rng.uniform(-0.24, 0.24, len(column))
            size = 16 if len(column) < FEW_CASES else 6
            axis.scatter(place + spread, column, s=size, color=colour, linewidths=0, alpha=0.6, zorder=2)
    drawn = axis.boxplot(
        columns,
        positions=places,
        widths=0.7,
        showfliers=False,
        showmeans=True,
        patch_artist=True,
        medianprops={"color": "black", "linewidth": 1.6},
        meanprops={"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black", "markersize": 3.5},
        whiskerprops={"color": GREY},
        capprops={"color": GREY},
        zorder=3,
    )
    for box, colour in zip(drawn["boxes"], of_each, strict=True):
        box.set(facecolor=mpl.colors.to_rgba(colour, 0.35), edgecolor=colour)
