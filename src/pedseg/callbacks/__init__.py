"""Lightning callbacks and loggers: what happens around the training steps."""

from pedseg.callbacks.checkpoint import LastCheckpoint
from pedseg.callbacks.images import SourceSlices
from pedseg.callbacks.metrics_csv import MetricsCsv
from pedseg.callbacks.progress import EpochLine, StepTimer

__all__ = ["EpochLine", "LastCheckpoint", "MetricsCsv", "SourceSlices", "StepTimer"]
