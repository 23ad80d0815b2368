"""Segmentation network, gradient reversal and domain classifier."""

from pedseg.networks.unet import UNet, UNetOutput

__all__ = ["UNet", "UNetOutput"]
