"""Segmentation losses."""

from pedseg.losses.deep_supervision import DeepSupervisionLoss
from pedseg.losses.dice_bce import DiceBCELoss, soft_dice

__all__ = ["DeepSupervisionLoss", "DiceBCELoss", "soft_dice"]
