"""Segmentation network, gradient reversal and domain classifier."""

from pedseg.networks.domain_classifier import DomainClassifier
from pedseg.networks.gradient_reversal import GradientReversal
from pedseg.networks.topology import Topology, plan_topology
from pedseg.networks.unet import UNet, UNetOutput

__all__ = ["DomainClassifier", "GradientReversal", "Topology", "UNet", "UNetOutput", "plan_topology"]
