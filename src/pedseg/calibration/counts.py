"""What calibration counts: histograms of logits, case by case. Whole cases are not needed again."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pedseg.ignored import parted
from pedseg.labels import Region
from pedseg.metrics.histogram import WIDTH, bins_of, histogram

LIMIT = 30.0  # of the logits that thresholds are looked for among
PARTS = tuple(region for region in Region if region is not Region.WT)
AROUND = {Region.TC: Region.WT, Region.ET: Region.TC}  # the region that each part lies in
Floats = NDArray[np.float64]


def centres() -> Floats:
    """Logit (bins,) in the middle of each bin."""
    bins = bins_of(LIMIT)
    return WIDTH * (np.arange(bins, dtype=np.float64) + 0.5 - bins / 2)


def shares_of(counts: Floats) -> Floats:
    """Histograms (cases, bins), each divided by its sum; those that count nothing are left out."""
    sums = counts.sum(-1, keepdims=True)
    found = sums[:, 0] > 0
    normalised: Floats = counts[found] / sums[found]
    return normalised


class Counts:
    """Histograms of the logits of parts, case by case, within the region that the network predicts around them.

    Args:
        images: how many cases there are.
        within: for each part that is counted, the region whose predicted voxels (logit above 0) are looked at.

    Attributes:
        within: the same.
        values: (images, regions, bins) float64, whole numbers; 0 where nothing has been counted, so that what several
            processes have counted of different cases can be added up and no bit depends on how many there were.
    """

    def __init__(self, images: int, within: Mapping[Region, Region]) -> None:
        self.within = dict(within)
        self.values = torch.zeros(images, len(Region), bins_of(LIMIT), dtype=torch.float64)

    def count(self, case: int, logits: Tensor, where: Tensor | None = None) -> None:
        """Count a case.

        Args:
            case: its index.
            logits: (regions, d, h, w).
            where: (regions, d, h, w) bool, voxels that are counted for each part; None for all.
        """
        order = list(Region)
        for part, around in self.within.items():
            outer, index = order[: order.index(around) + 1], order.index(part)
            seen = (logits[: len(outer)] > 0).all(0)
            voxels = seen if where is None else seen & where[index]
            self.values[case, index] = histogram(logits[index][voxels], limit=LIMIT).to(self.values)

    def of(self, part: Region) -> Floats:
        """Histograms (images, bins) of a part."""
        array: Floats = self.values[:, list(Region).index(part)].numpy()
        return array


class SourceCounts:
    """The same of labelled source cases: voxels that belong to the part, and those that do not.

    Args:
        images: how many cases there are.
        within: as `Counts` has it.
    """

    def __init__(self, images: int, within: Mapping[Region, Region]) -> None:
        self.inside = Counts(images, within)
        self.outside = Counts(images, within)

    def count(self, case: int, logits: Tensor, label: Tensor) -> None:
        """Count a case with the masks (regions, d, h, w) of its label, which may ignore voxels."""
        regions, ignored = parted(label, len(logits))
        known = torch.ones_like(regions) if ignored is None else (~ignored).expand_as(regions)
        self.inside.count(case, logits, regions & known)
        self.outside.count(case, logits, ~regions & known)
