"""Thresholds of a network's logits, for where 0 is not the boundary of its regions."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pedseg.errors import PedsegError


def above(logits: Tensor, thresholds: Tensor) -> Tensor:
    """How far logits (..., R, D, H, W) are above the thresholds (R,) of their regions, at most as far as the whole.

    Regions go from the whole to its parts; none is then further above its threshold than the one around it, so that no
    part reaches outside.
    """
    regions = list((logits - thresholds.view(-1, 1, 1, 1)).unbind(-4))
    for part in range(1, len(regions)):
        regions[part] = torch.minimum(regions[part], regions[part - 1])
    return torch.stack(regions, dim=-4)


def checked_thresholds(values: Sequence[float], *, regions: int) -> tuple[float, ...]:
    """Thresholds, a logit for each region.

    Raises:
        PedsegError: there is not one finite number for each region.
    """
    numbers = isinstance(values, Sequence) and all(isinstance(value, int | float) for value in values)
    if not numbers or len(values) != regions or not all(map(math.isfinite, values)):
        raise PedsegError(f"thresholds {values}: give a finite logit for each of the {regions} regions")
    return tuple(float(value) for value in values)


class AboveThresholds(nn.Module):
    """A network whose logits are those of another above thresholds, so that 0 is the boundary again.

    Args:
        network: the other.
        thresholds: a logit for each region.
    """

    def __init__(self, network: nn.Module, thresholds: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("thresholds", torch.tensor(list(thresholds)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, R, D, H, W) above the thresholds."""
        return above(self.network(x), self.get_buffer("thresholds"))
