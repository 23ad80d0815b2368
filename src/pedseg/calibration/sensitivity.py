"""What would have come of other shares than the one that was assumed: a curve for each part."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from pedseg.calibration.calibration import Calibration
from pedseg.calibration.counts import LIMIT, Floats, SourceCounts, shares_of
from pedseg.files import write_text
from pedseg.labels import Region
from pedseg.metrics.histogram import WIDTH, quantile

ASSUMED = (*(round(0.05 * step, 2) for step in range(1, 20)), 0.98)
COLUMNS = ("region", "assumed", "threshold", "share", "low", "high", "dice")


class Scored:
    """Labelled cases that the curve is scored on; nothing is chosen by it.

    Args:
        counts: of the parts in these cases.
        volumes: (cases, regions) voxels of each region in the labels.
    """

    def __init__(self, counts: SourceCounts, volumes: Floats) -> None:
        self.counts = counts
        self.volumes = volumes

    def dice(self, part: Region, threshold: float) -> float:
        """Mean Dice of a part above a threshold, on the network's grid; 1 where both are empty."""
        true = above(self.counts.inside.of(part), threshold)
        called = true + above(self.counts.outside.of(part), threshold)
        sums = called + self.volumes[:, list(Region).index(part)]
        return float(np.where(sums > 0, 2 * true / np.maximum(sums, 1), 1).mean())


def above(histograms: Floats, threshold: float) -> Floats:
    """How much (cases,) of histograms (cases, bins) lies above a threshold, even within each bin."""
    place = min(max((threshold + LIMIT) / WIDTH, 0.0), float(histograms.shape[1]))
    whole = min(int(place), histograms.shape[1] - 1)
    found: Floats = histograms[:, whole + 1 :].sum(1) + (whole + 1 - place) * histograms[:, whole]
    return found


def curve(calibration: Calibration, scored: Scored | None = None) -> Iterator[tuple[object, ...]]:
    """Rows of `COLUMNS` for each part that is calibrated.

    Each has a share that is assumed, the logit above which the part has it in the mean over the images of the target,
    its share there and the quartiles of that over cases, and the Dice where labelled cases are given.
    """
    for part in calibration.around:
        cases = shares_of(calibration.target.of(part))
        for assumed in ASSUMED if len(cases) else ():
            threshold = quantile(torch.from_numpy(cases.sum(0)), 1 - assumed)
            shares = above(cases, threshold)
            low, high = np.quantile(shares, [0.25, 0.75])
            dice = "" if scored is None else f"{scored.dice(part, threshold):.4f}"
            yield part, assumed, *(f"{value:.4f}" for value in (threshold, shares.mean(), low, high)), dice


def write_curve(path: Path, calibration: Calibration, scored: Scored | None = None) -> None:
    """Write the curve as a CSV."""
    rows = [COLUMNS, *curve(calibration, scored)]
    write_text(path, "".join(f"{','.join(map(str, row))}\n" for row in rows))
