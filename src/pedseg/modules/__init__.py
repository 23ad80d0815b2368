"""Training modules."""

from pedseg.modules.adaptation import AdaptationModule
from pedseg.modules.opposed import OpposedModule
from pedseg.modules.segmentation import SegmentationModule

__all__ = ["AdaptationModule", "OpposedModule", "SegmentationModule"]
