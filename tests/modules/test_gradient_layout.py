"""Gradients with the strides of their weights, on real networks in both layouts and precisions."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import SGD

from pedseg.modules import SegmentationModule
from pedseg.modules.gradient_layout import restrided
from pedseg.schedules import constant
from tests.networks.small import EVERY, small


def gradients(
    *, kept: bool, channels_last: bool, bf16: bool, make_batch: Any, name: str = "unet"
) -> list[tuple[Tensor, Tensor]]:
    """Weights and their gradients after a backward."""
    network = small(name, deep_supervision=True)
    layout: Any = torch.channels_last_3d if channels_last else torch.contiguous_format
    if kept:
        SegmentationModule(network=network, optimizer=partial(SGD), lr_schedule=constant, channels_last=channels_last)
    network.to(memory_format=layout)  # type: ignore[call-overload]
    image = make_batch()["source"]["image"].contiguous(memory_format=layout)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        output = network.forward_features(image)
    torch.autograd.backward([head.float().square().mean() for head in output.logits])
    return [(parameter, parameter.grad) for parameter in network.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("bf16", [False, True])
def test_every_gradient_has_the_strides_of_its_weight(
    make_batch: Any, channels_last: bool, bf16: bool, name: str
) -> None:
    settings: Any = {"channels_last": channels_last, "bf16": bf16, "make_batch": make_batch, "name": name}
    kept, plain = gradients(kept=True, **settings), gradients(kept=False, **settings)
    assert len(kept) == len(plain) > 20
    assert all(gradient.stride() == weight.stride() for weight, gradient in kept)
    for (_, ours), (_, theirs) in zip(kept, plain, strict=True):
        assert torch.equal(ours, theirs)


def test_convolutions_do_give_other_strides(make_batch: Any) -> None:
    """Or there would be nothing to mend."""
    plain = gradients(kept=False, channels_last=True, bf16=False, make_batch=make_batch)
    assert any(gradient.stride() != weight.stride() for weight, gradient in plain)


def test_only_axes_of_size_one_are_looked_at_otherwise() -> None:
    tensor = torch.arange(12.0).view(3, 4, 1, 1, 1)
    seen = restrided(tensor, strides=(4, 1, 4, 4, 4))
    assert seen.stride() == (4, 1, 4, 4, 4)
    assert torch.equal(seen, tensor)
    assert seen.data_ptr() == tensor.data_ptr()
    assert restrided(tensor, strides=(1, 3, 1, 1, 1)) is tensor  # another order of the values
