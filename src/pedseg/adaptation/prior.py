"""Plausible sizes on the target: bounds on ratios of region volumes from published statistics.

The idea of constrained adaptation (Bateson et al. 2020, 2022: class-ratio priors known beforehand) with the quadratic
penalty of Kervadec et al. 2019 outside an interval. The bounds are literature figures, never the cohort's own.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from pedseg.adaptation.method import Method, Step
from pedseg.errors import PedsegError
from pedseg.labels import Region

Bounds = tuple[float, float]


class SizePrior(Method):
    """Weight times ``sum over ratios of max(0, low - r)² + max(0, r - high)²``, r the soft volume of a region over WT.

    Volumes are sums of probabilities over the target patches of the batch of this process. A batch in which the network
    finds hardly any tumour says nothing about ratios and counts nothing.

    Logged per epoch: ``loss_prior``, ``prior_weight``, ``ratio_tc``, ``ratio_et``.

    Args:
        bounds: lowest and highest plausible mean ratio to WT, by region (TC, ET).
        weight_schedule: weight as a function of progress in [0, 1).
        fewest_voxels: soft volume of WT below which a batch counts nothing.

    Raises:
        PedsegError: bounds are no part of [0, 1] or belong to WT.
    """

    def __init__(
        self,
        *,
        bounds: Mapping[Region, Bounds],
        weight_schedule: Callable[[float], float],
        fewest_voxels: float = 50.0,
    ) -> None:
        super().__init__()
        for region, (low, high) in bounds.items():
            if region == Region.WT or not 0 <= low < high <= 1:
                raise PedsegError(f"prior {region}/wt from {low} to {high}: give tc or et and 0 <= low < high <= 1")
        self.bounds = {Region(region): (float(low), float(high)) for region, (low, high) in bounds.items()}
        self.weight_schedule = weight_schedule
        self.fewest_voxels = fewest_voxels
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
        volumes = dict(zip(Region, logits.sigmoid().sum((0, 2, 3, 4)), strict=True))
        whole = volumes[Region.WT]
        counts = (whole.detach() >= self.fewest_voxels).float()
        penalty = torch.zeros_like(whole)
        for region, (low, high) in self.bounds.items():
            ratio = volumes[region] / whole.clamp(min=1.0)
            penalty = penalty + (low - ratio).clamp(min=0).square() + (ratio - high).clamp(min=0).square()
            step.log(f"ratio_{region}", ratio, len(logits))
        step.log("loss_prior", penalty * counts, len(logits))
        loss: Tensor = self.weight * penalty * counts
        return loss

    def description(self) -> dict[str, Any]:
        """Bounds by region."""
        return {"bounds": {region.value: list(bounds) for region, bounds in self.bounds.items()}}
