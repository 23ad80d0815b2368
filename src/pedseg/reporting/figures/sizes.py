"""The left part of the paper's Fig. 3: how large the tissues of the tumours are, by cohort."""

import itertools

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pedseg.reporting.figures.style import GREY, SOURCE, TARGET, VIOLET
from pedseg.reporting.sizes import TISSUES

TITLES = {"et": "ET", "nc": "NC", "ed": "ED"}
COLOURS = {"adult": SOURCE, "ped": TARGET}  # of cohorts
OTHERS = (VIOLET, GREY)
BINS: list[float] = np.logspace(0, 6, 31).tolist()  # mm³; five bins a decade, to a litre


def size_figure(sizes: pd.DataFrame, *, below_mm3: float, title: str = "") -> Figure:
    """Draw a histogram of the volume of each tissue, with the share of cases that have none.

    Args:
        sizes: as `pedseg.reporting.sizes.read_sizes` returns them.
        below_mm3: limit below which Table 3 leaves a case out, drawn in the ET panel.
        title: of the figure.
    """
    figure = Figure(figsize=(10, 3.1), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(1, len(TISSUES), sharey=True)
    for axis, tissue in zip(panels, TISSUES, strict=True):
        _draw_tissue(axis, sizes, tissue)
        axis.set_title(TITLES[tissue])
        axis.set_xlabel("volume (mm³)")
    panels[0].axvline(below_mm3, color=GREY, linestyle="--", linewidth=1.2)
    place = panels[0].get_xaxis_transform()
    panels[0].text(below_mm3, 0.97, f"{below_mm3:g} mm³", transform=place, ha="right", va="top", rotation=90, size=8)
    panels[0].set_ylabel("share of cases (%)")
    return figure


def _draw_tissue(axis: Axes, sizes: pd.DataFrame, tissue: str) -> None:
    others = itertools.cycle(OTHERS)
    for cohort, rows in sizes.groupby("cohort"):
        colour = COLOURS.get(str(cohort)) or next(others)
        volumes = rows[tissue].dropna().to_numpy(dtype=np.float64)
        present = volumes[volumes > 0]
        weights = np.full(len(present), 100 / max(len(volumes), 1))
        label = f"{cohort}: none in {len(volumes) - len(present)} of {len(volumes)}"
        axis.hist(present, bins=BINS, weights=weights, color=colour, alpha=0.25)
        axis.hist(present, bins=BINS, weights=weights, color=colour, histtype="step", linewidth=1.4, label=label)
    axis.set_xscale("log")
    axis.set_xlim(BINS[0], BINS[-1])
    axis.margins(y=0.25)
    axis.grid(axis="y")
    axis.legend(loc="upper right")
