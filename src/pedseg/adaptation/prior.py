"""Plausible sizes on the target: bounds on shares of region volumes in WT from published statistics.

The idea of constrained adaptation (Bateson et al. 2019, 2020, 2022: sizes or class ratios known beforehand) with the
quadratic penalty of Kervadec et al. 2019 outside an interval. The bounds are literature figures, never the cohort's.
"""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from pedseg.adaptation.method import Interval, Method, Part, Stage, Step, Takes, ramp
from pedseg.labels import Region
from pedseg.settings.signature import NotNegative, Share


class SizePrior(Method):
    """Weight times the sum over regions of ``max(0, low - r)² + max(0, r - high)²``, r the region's share of WT.

    r is the mean probability of the region over the voxels that the network calls WT, in all target patches of this
    process's batch: TC and ET are parts of WT, so this is the ratio of volumes. It moves TC and ET inside WT alone. A
    share of soft volumes would also be satisfied by a smaller WT, or by tumour core scattered over the background. A
    batch in which the network finds hardly any tumour says nothing about shares and counts nothing.

    Not a mean over samples: two processes with half the batch each bound the share of each half.

    Logged per epoch: ``loss_prior``, ``prior_weight``, ``share_tc`` and ``share_et`` (means over the batches that
    count, nan without any).

    Args:
        bounds: lowest and highest plausible mean share of WT, by region (TC, ET).
        weight: of the loss at the end of its rise.
        start: progress in [0, 1) at which the weight begins to rise.
        end: and at which it is reached.
        fewest_voxels: voxels of WT below which a batch counts nothing.

    Raises:
        SettingError: the weight does not rise.
    """

    stage = Stage.OUTPUTS
    takes = Takes.OUTPUTS
    strengths = ("weight",)

    def __init__(
        self,
        *,
        bounds: Annotated[dict[Part, Interval], Field(min_length=1)],
        weight: NotNegative = 1.0,
        start: Share = 0.2,
        end: Share = 0.6,
        fewest_voxels: NotNegative = 50.0,
    ) -> None:
        super().__init__()
        self.bounds = {Region(region): interval for region, interval in bounds.items()}
        self.weight_schedule = ramp(maximum=weight, start=start, end=end)
        self.fewest_voxels = max(1.0, fewest_voxels)
        self.weight = 0.0

    def start_epoch(self, progress: float) -> dict[str, float]:
        """Set the weight."""
        self.weight = self.weight_schedule(progress)
        return {"prior_weight": self.weight}

    def loss(self, step: Step) -> Tensor | None:
        """Weighted penalty of the target's part of the batch."""
        logits = step.target_logits()
        if logits is None:
            return None
        by_region = dict(zip(Region, logits.unbind(1), strict=True))
        found = by_region[Region.WT].detach() > 0
        voxels = found.sum()
        counts = voxels >= self.fewest_voxels
        penalty = logits.new_zeros(())
        for region, (low, high) in self.bounds.items():
            share = (by_region[region].sigmoid() * found).sum() / voxels.clamp(min=1)
            penalty = penalty + (low - share).clamp(min=0).square() + (share - high).clamp(min=0).square()
            # Always logged, for all processes log the same names; a batch that does not count has no weight.
            step.log(f"share_{region}", share, counts * len(logits))
        loss = torch.where(counts, penalty, torch.zeros_like(penalty))
        step.log("loss_prior", loss, len(logits))
        return self.weight * loss

    def description(self) -> dict[str, Any]:
        """Bounds by region."""
        return {"bounds": {region.value: list(bounds) for region, bounds in self.bounds.items()}}
