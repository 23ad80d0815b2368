"""Segmentation networks, gradient reversal and domain classifier."""

from pedseg.networks.contract import PARTS, NetworkOutput, SegmentationNetwork
from pedseg.networks.domain_classifier import DomainClassifier
from pedseg.networks.foreign import SegResNet
from pedseg.networks.gradient_reversal import GradientReversal
from pedseg.networks.kinds import KINDS, build, rebuild, rebuild_within
from pedseg.networks.residual import ResidualUNet
from pedseg.networks.thresholds import AboveThresholds, above, checked_thresholds
from pedseg.networks.topology import Topology, plan_topology
from pedseg.networks.unet import UNet

__all__ = [
    "KINDS",
    "PARTS",
    "AboveThresholds",
    "DomainClassifier",
    "GradientReversal",
    "NetworkOutput",
    "ResidualUNet",
    "SegResNet",
    "SegmentationNetwork",
    "Topology",
    "UNet",
    "above",
    "build",
    "checked_thresholds",
    "plan_topology",
    "rebuild",
    "rebuild_within",
]
