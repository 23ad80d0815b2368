"""Segmentation losses, and the entropy of predictions."""

from pedseg.losses.deep_supervision import DeepSupervisionLoss
from pedseg.losses.dice_bce import DiceBCELoss, soft_dice
from pedseg.losses.entropy import binary_entropy, self_information

__all__ = ["DeepSupervisionLoss", "DiceBCELoss", "binary_entropy", "self_information", "soft_dice"]
