"""From a share to a threshold.

``quantile``: the logit above which the part has its share, so the share is met whatever the logits are worth.
``shift``: the logit at which the posterior that goes with the share is one half (Saerens 2002, eq. 4), which is the
decision of fewest wrong voxels if the posterior is right, and gives a part whose logits say nothing no voxel or all.
"""

from typing import Literal

import torch

from pedseg.calibration.counts import LIMIT, Floats
from pedseg.calibration.posterior import Posterior
from pedseg.metrics.histogram import quantile

Cut = Literal["quantile", "shift"]


def threshold(histogram: Floats, share: float, posterior: Posterior, *, cut: Cut) -> float:
    """A logit, given the histogram (bins,) of those that are to be cut; 0 where it is empty."""
    if cut == "shift":
        return min(max(posterior.threshold(share), -LIMIT), LIMIT)
    return quantile(torch.from_numpy(histogram), 1 - share) if histogram.any() else 0.0
