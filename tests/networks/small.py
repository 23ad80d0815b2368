"""A small network of every kind."""

from collections.abc import Sequence
from typing import Any, TypeVar

import torch

from pedseg.networks import KINDS, SegmentationNetwork, build

EVERY = sorted(KINDS)
PATCH = (16, 16, 16)
Network = TypeVar("Network", bound=SegmentationNetwork)


def small(
    name: str, *, patch: Sequence[int] = PATCH, spacing: Sequence[float] = (1.0, 1.0, 1.0), seed: int = 0, **more: Any
) -> SegmentationNetwork:
    """A network of kind `name` with at most 16 channels."""
    torch.manual_seed(seed)
    settings = {"name": name, "base_features": 4, "max_features": 16, **more}
    return build(settings, patch_size=patch, spacing_mm=spacing)


def randomised(network: Network, *, seed: int = 1) -> Network:
    """Give every parameter, biases and norms too, a value that matters."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.3)
    return network
