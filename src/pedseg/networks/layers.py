"""Layers in the forms that are fast here, how they start, and the biases that MONAI's blocks lack."""

import torch
from torch import nn

from pedseg.networks.convolution import Convolution
from pedseg.networks.normalisation import InstanceNorm

NEGATIVE_SLOPE = 0.01  # of every LeakyReLU, and of the Kaiming initialisation that goes with it


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
