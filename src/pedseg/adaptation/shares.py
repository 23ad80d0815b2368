"""Thresholds at which a network finds as much of each region as is known beforehand.

Class-balanced self-training (Zou et al. 2018) labels the most confident part of each class; here the part is not the
network's own, which is what the shift has spoilt, but the published one (known class ratios: Bateson et al. 2020).
"""

import math
from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, distributed, nn

from pedseg.labels import Region
from pedseg.metrics.histogram import bins_of, histogram, quantile_scalar
from pedseg.settings.signature import Number


def _nested(shares: dict[Region, float]) -> dict[Region, float]:
    ordered = [shares[region] for region in Region if region in shares]  # from the whole to its parts
    if ordered != sorted(ordered, reverse=True):
        raise ValueError("et is part of tc and tc of wt; give no part more")
    return shares


Shares = Annotated[dict[Region, Annotated[Number, Field(gt=0, lt=1)]], AfterValidator(_nested)]


class ShareThresholds(nn.Module):
    """For each region the logit above which its published share of the brain lies, over the last batches.

    Histograms of the logits of brain voxels fade by `decay` with every step. Until ``1 / (1 - decay)`` steps have been
    seen, and for a region without a share, the threshold is 0. Voxels of all processes are counted, so that all have
    the same thresholds.

    Args:
        shares: mean volume of a region over that of the brain, by region, none larger than that of the one around it.
        decay: of what was counted, per step, below 1.
    """

    mass: Tensor
    pending: Tensor
    seen: Tensor

    def __init__(self, shares: Shares, *, decay: float) -> None:
        super().__init__()
        self.shares = {Region(region): share for region, share in shares.items()}
        self.decay = decay
        self.warm_up = math.ceil(round(1 / (1 - decay), 6))  # 1 / (1 - 0.9) is a little more than 10
        self.register_buffer("mass", torch.zeros(len(Region), bins_of()))
        self.register_buffer("pending", torch.zeros(len(Region), bins_of()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def count(self, logits: Tensor, brain: Tensor) -> None:
        """Count logits (n, regions, D, H, W) where `brain` (n, 1, D, H, W) is true."""
        outside = (~brain).sum()
        for index, region in enumerate(logits.unbind(1)):
            counts = histogram(torch.where(brain[:, 0], region, -torch.inf))  # what lies outside is in the first bin
            counts[0] -= outside
            self.pending[index] += counts

    @torch.no_grad()
    def merge(self) -> None:
        """Take in what this step has counted, in all processes; a step without any changes nothing."""
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(self.pending)
        counted = self.pending.any()
        self.mass.copy_(torch.where(counted, self.mass * self.decay + self.pending, self.mass))
        self.seen += counted
        self.pending.zero_()

    def thresholds(self) -> Tensor:
        """Logits (regions,), float32, within the range of a histogram."""
        none = self.mass.new_zeros(())
        values = [
            quantile_scalar(self.mass[index], 1 - self.shares[region]).float() if region in self.shares else none
            for index, region in enumerate(Region)
        ]
        return torch.where(self.seen < self.warm_up, none, torch.stack(values))
