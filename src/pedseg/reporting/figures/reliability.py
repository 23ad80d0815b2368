"""Whether probabilities mean what they say, region by region, on held-out source cases."""

import math

import pandas as pd
from matplotlib.figure import Figure

from pedseg.choosing.validators import read_validators
from pedseg.pages.document import Picture
from pedseg.reporting.figures.style import GREY, REGION_COLOURS, save
from pedseg.reporting.rows import SYNTHETIC
from pedseg.runs import VariantFolder

CAPTION = (
    "Held-out source cases: share of the voxels that are of a region against their probability, in 15 bins; dots are "
    "as large as the bins weigh. Voxels of the brain below 0.01 are left out, every case weighs the same. ECE: "
    "expected calibration error (Guo et al. 2017)."
)


def draw_reliability(place: VariantFolder) -> Picture | None:
    """Draw what the validation of a variant has measured, beside it, unless it is there; None without source cases.

    Raises:
        PedsegError: validators.json is damaged.
    """
    record = read_validators(place.validators)
    table = pd.DataFrame(record["details"].get("reliability", []))
    if table.empty or place.reliability.exists():
        return None
    table = table.astype(dict.fromkeys(("probability", "truth", "ece"), float))  # None: not known
    mark = f" ({SYNTHETIC})" if record["synthetic"] else ""
    figure = reliability_figure(table, title=f"Reliability{mark}")
    return save(figure, place.reliability.with_suffix(""), caption=f"{CAPTION}{mark}", data=table)


def reliability_figure(table: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw the share of true voxels against the probability, a panel per region; dots are as large as they weigh.

    Args:
        table: rows of `pedseg.choosing.reliability.reliability`.
        title: of the figure.
    """
    groups = list(table.groupby("region", sort=False))
    figure = Figure(figsize=(3.2 * len(groups), 3.4), layout="constrained")
    figure.suptitle(title)
    for axis, (region, rows) in zip(
        figure.subplots(1, len(groups), sharey=True, squeeze=False)[0], groups, strict=True
    ):
        colour = REGION_COLOURS[str(region)]
        known = rows[rows["weight"] > 0]
        axis.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.0)
        axis.plot(known["probability"], known["truth"], color=colour)
        axis.scatter(known["probability"], known["truth"], s=8 + 200 * known["weight"], color=colour)
        error = rows["ece"].iloc[0]
        axis.set_title(f"{str(region).upper()}, " + (f"ECE {error:.3f}" if math.isfinite(error) else "nothing found"))
        axis.set_xlabel("probability")
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1)
        axis.grid()
        if axis.get_subplotspec().is_first_col():
            axis.set_ylabel("share of the voxels that are true")
    return figure
