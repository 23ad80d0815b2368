"""Whether a network calls as much of the tumour core as its own logits speak for: no label of the target is read.

The share of TC in WT is estimated on images of the target by EM for label shift (`pedseg.calibration.estimated`), with
posteriors that held-out source cases have calibrated (`pedseg.calibration.posterior`). Of a network that was calibrated
to that very estimate the distance tells nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pedseg.calibration.counts import AROUND, Counts, Floats, SourceCounts, centres, shares_of
from pedseg.calibration.estimated import estimated, interval
from pedseg.calibration.posterior import fit_posterior
from pedseg.errors import PedsegError
from pedseg.labels import Region

CORE = {Region.TC: AROUND[Region.TC]}


@dataclass(frozen=True, slots=True)
class CoreShare:
    """Mean share of TC in WT over cases of the target.

    Attributes:
        estimated: what the logits speak for.
        low: end of its 95 % interval over cases.
        high: the other end.
    """

    estimated: float
    low: float
    high: float

    def contradicts(self, published: float) -> bool:
        """Whether a published share lies outside the interval."""
        return not self.low <= published <= self.high


def count_core(logits: NDArray[np.float32]) -> Floats:
    """Histogram (bins,) of the logits of TC inside the predicted WT of one case, of logits (regions, d, h, w)."""
    counts = Counts(1, CORE)
    counts.count(0, torch.from_numpy(logits))
    return np.asarray(counts.of(Region.TC)[0], dtype=np.float64)


def count_source_core(logits: NDArray[np.float32], label: NDArray[np.bool_]) -> Floats:
    """The same (2, bins) of voxels that belong to TC, and of those that do not."""
    counts = SourceCounts(1, CORE)
    counts.count(0, torch.from_numpy(logits), torch.from_numpy(label))
    return np.stack([counts.inside.of(Region.TC)[0], counts.outside.of(Region.TC)[0]])


def core_share(source: Sequence[Floats], target: Sequence[Floats]) -> CoreShare | None:
    """Estimate the share from what was counted; None where source or target do not tell it.

    Args:
        source: of each labelled case (2, bins).
        target: of each image (bins,).
    """
    cases = shares_of(np.stack(target))
    if not len(source) or not len(cases):
        return None
    inside, outside = np.stack(source).swapaxes(0, 1)
    try:
        posterior = fit_posterior(inside, outside, what="TC in WT")
    except PedsegError:  # the network has not learnt it, or finds nothing
        return None
    ratios = posterior.ratios(centres())
    return CoreShare(estimated(cases, ratios), *interval(cases, ratios))
