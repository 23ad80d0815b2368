"""Thresholds at which a network finds parts of the tumour as large as they are known to be in the target.

A network that has learnt one population's tumours carries their make-up over to another one: one trained on adults
draws oedema around every child's tumour core. Where classes have other frequencies and look the same within, the
optimal decision moves by a constant in the logit (Saerens et al. 2002, "Adjusting the outputs of a classifier to new a
priori probabilities", eq. 4). That needs the new frequencies: here published ones, of parts within the whole tumour,
which leave its size and place to the network.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pedseg.errors import PedsegError
from pedseg.files import read_json, write_json
from pedseg.labels import Region
from pedseg.metrics.histogram import bins_of, histogram, quantile

LIMIT = 30.0  # of the logits that thresholds are looked for among
WHOLE = list(Region).index(Region.WT)


class PartThresholds:
    """For each part the logit above which it has its known share of the whole tumour, in the mean over cases.

    Within the voxels that the network gives to WT, logits of the part are counted case by case, each histogram is
    divided by its sum, and the mean of these over the cases is cut at the share: so each case weighs the same, as in
    the published mean. Cases in which no WT is found have no say.

    Args:
        shares: mean over patients of the volume of a part (TC, ET) divided by that of WT.

    Attributes:
        totals: (regions, bins) float64, the sum over cases of their histograms; add those of other processes.
        cases: (1,) float64, how many cases have a WT.

    Raises:
        PedsegError: a share is not between 0 and 1, or is of another region.
    """

    def __init__(self, shares: Mapping[str, float]) -> None:
        parts = [region for region in Region if region is not Region.WT]
        for region, share in shares.items():
            if region not in parts or not (isinstance(share, int | float) and 0 < share < 1):
                raise PedsegError(f"share {region}={share}: give {' or '.join(parts)} a share of WT between 0 and 1")
        self.shares = {Region(region): float(share) for region, share in shares.items()}
        self.totals = torch.zeros(len(Region), bins_of(LIMIT), dtype=torch.float64)
        self.cases = torch.zeros(1, dtype=torch.float64)

    def count(self, logits: Tensor) -> None:
        """Count the logits (regions, d, h, w) of a case."""
        whole = logits[WHOLE] > 0
        if not whole.any():
            return
        self.cases += 1
        for index, region in enumerate(Region):
            if region in self.shares:
                counts = histogram(logits[index][whole], limit=LIMIT).to(self.totals)
                self.totals[index] += counts / counts.sum()

    def thresholds(self) -> list[float]:
        """A logit for each region; 0 for one without a share.

        Raises:
            PedsegError: no case has a WT.
        """
        if not self.cases.item():
            raise PedsegError("no tumour was found in any image, so no part of one can be calibrated")
        return [
            quantile(self.totals[index], 1 - self.shares[region]) if region in self.shares else 0.0
            for index, region in enumerate(Region)
        ]

    def found(self) -> dict[Region, float]:
        """Mean over cases of each part's share of WT at threshold 0: what the network finds by itself."""
        middle = self.totals.shape[1] // 2
        return {
            region: float(self.totals[index, middle:].sum() / self.cases)
            for index, region in enumerate(Region)
            if region in self.shares
        }

    def summary(self) -> list[str]:
        """What was found and what is cut, a line for each part."""
        thresholds, found = dict(zip(Region, self.thresholds(), strict=True)), self.found()
        return [
            f"{region.upper()} had {found[region]:.2f} of WT; above logit {thresholds[region]:.2f} it has {share:.2f}"
            for region, share in self.shares.items()
        ]


def write_thresholds(path: Path, parts: PartThresholds, *, images: int) -> None:
    """Write what has been found: ``thresholds``, a logit for each region, or null where no image has a tumour.

    Args:
        path: JSON to write.
        parts: after every image has been counted.
        images: how many.
    """
    known = bool(parts.cases.item())
    named = dict(zip(map(str, Region), parts.thresholds(), strict=True)) if known else None
    found = {str(region): share for region, share in parts.found().items()} if known else None
    shares = {str(region): share for region, share in parts.shares.items()}
    write_json(
        path,
        {"thresholds": named, "shares": shares, "found": found, "images": images, "cases": int(parts.cases.item())},
    )


def read_thresholds(path: Path) -> list[float] | None:
    """A logit for each region; None where no image had a tumour.

    Raises:
        PedsegError: the file is absent or damaged.
    """
    content = read_json(path)
    try:
        named = content["thresholds"]
        return None if named is None else [float(named[region]) for region in Region]
    except (KeyError, TypeError, ValueError) as error:
        raise PedsegError(f"{path}: holds no thresholds of pedseg; remove it, and calibrate again") from error
