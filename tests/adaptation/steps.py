"""Images, teachers and types of the steps that the tests of the methods make."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pedseg.adaptation import MeanTeacher, Method, Step
from pedseg.networks import UNet
from pedseg.settings.signature import below, checked_arguments

PATCH = (16, 16, 16)
Logged = dict[str, tuple[Any, int]]  # value and samples
MakeStep = Callable[..., tuple[Step, Logged]]


def brainy(samples: int, *, seed: int = 0, size: tuple[int, int, int] = PATCH) -> Tensor:
    """Random z-scores in a box, exactly 0 around it."""
    images = torch.zeros(samples, 4, *size)
    inner = images[..., 2:, :-3, 1:]
    inner.copy_(torch.randn(inner.shape, generator=torch.Generator().manual_seed(seed)))
    return images


def made(kind: type[Method], **settings: Any) -> Method:
    """A method of settings that are checked first, as those of a configuration are; its key is ``m``."""
    arguments = checked_arguments(kind, settings, where="m")
    with below("m"):
        return kind(**arguments)


class Says(nn.Module):
    """A teacher that gives the same logits to everything."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits
        self.asked: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.asked.append(images)
        return self.logits


def teacher(network: UNet, *, weight: float = 1.0, says: Tensor | None = None, **settings: Any) -> MeanTeacher:
    """Start one; with `says` it gives these logits, whatever it is shown."""
    method = MeanTeacher(weight=weight, start=-1.0, end=0.0, **settings)
    method.start(network)
    method.start_epoch(0.0)
    if says is not None:
        method.teacher = Says(says)  # type: ignore[assignment]
    return method
