"""Gradients in the strides of their weights, which distributed training lays its buckets out by."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn


def keep_strides(module: nn.Module) -> None:
    """Let the gradient of every trained weight arrive with the strides of the weight.

    Along an axis of size 1, such as those of a 1³ kernel in channels-last layout, any stride is true, and a convolution
    gives its gradient other ones than its weight has. DDP compares them all the same, warns and calls it slow. Nothing
    is copied: the gradient is looked at by other strides.
    """
    for parameter in module.parameters():
        if parameter.requires_grad and 1 in parameter.shape:
            parameter.register_hook(partial(restrided, strides=parameter.stride()))  # type: ignore[no-untyped-call]


def restrided(tensor: Tensor, *, strides: Sequence[int]) -> Tensor:
    """The tensor by other strides if they differ along axes of size 1 alone, else the tensor as it is."""
    axes = zip(tensor.shape, tensor.stride(), strides, strict=True)
    if all(size == 1 or own == wanted for size, own, wanted in axes):
        return tensor.as_strided(tensor.shape, strides)
    return tensor
