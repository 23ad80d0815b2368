"""Layers in the forms that are fast here, and how they start."""

import torch
from torch import Tensor, nn

from pedseg.networks.convolution import Convolution
from pedseg.networks.normalisation import InstanceNorm

NEGATIVE_SLOPE = 0.01  # of every LeakyReLU, and of the Kaiming initialisation that goes with it


class AveragePool(nn.AvgPool3d):
    """`torch.nn.AvgPool3d` of windows side by side, which gives what it returns the layout of its input."""

    def __init__(self, window: tuple[int, int, int]) -> None:
        super().__init__(window, window)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """Mean of each window of (B, C, D, H, W)."""
        pooled = super().forward(input)
        last = input.is_contiguous(memory_format=torch.channels_last_3d)
        return pooled.contiguous(memory_format=torch.channels_last_3d) if last else pooled


def quicken(module: nn.Module) -> None:
    """Give convolutions the fast gradient (`Convolution`), and instance norms the form that keeps layouts."""
    for child in list(module.modules()):
        if type(child) is nn.Conv3d:
            child.__class__ = Convolution  # the same module, with another way to its gradient
        for name, norm in list(child.named_children()):
            if type(norm) is nn.InstanceNorm3d:
                child.register_module(name, InstanceNorm(norm.num_features, eps=norm.eps))


def add_biases(module: nn.Module) -> None:
    """Give convolutions that have no bias one of zeros."""
    for child in module.modules():
        if isinstance(child, nn.Conv3d) and child.bias is None:
            child.bias = nn.Parameter(torch.zeros(child.out_channels))


def initialise(module: nn.Module) -> None:
    """Start a convolution from Kaiming's normal distribution and a bias of 0 (Isensee et al. 2021)."""
    if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=NEGATIVE_SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
