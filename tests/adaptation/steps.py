"""Images and types of the steps that the tests of the methods make."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pedseg.adaptation import Step

PATCH = (16, 16, 16)
Logged = dict[str, tuple[Any, int]]  # value and samples
MakeStep = Callable[..., tuple[Step, Logged]]


def brainy(samples: int, *, seed: int = 0, size: tuple[int, int, int] = PATCH) -> Tensor:
    """Random z-scores in a box, exactly 0 around it."""
    images = torch.zeros(samples, 4, *size)
    inner = images[..., 2:, :-3, 1:]
    inner.copy_(torch.randn(inner.shape, generator=torch.Generator().manual_seed(seed)))
    return images
