"""Training modules."""

from pedseg.modules.adaptation import AdaptationModule
from pedseg.modules.segmentation import SegmentationModule

__all__ = ["AdaptationModule", "SegmentationModule"]
