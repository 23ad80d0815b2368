"""Lightning callbacks and loggers: what happens around the training steps."""

from pedseg.callbacks.adversary_health import AdversaryHealth
from pedseg.callbacks.checkpoint import LastCheckpoint
from pedseg.callbacks.images import SourceSlices
from pedseg.callbacks.metrics_csv import MetricsCsv
from pedseg.callbacks.progress import EpochLine, StepTimer
from pedseg.callbacks.stopping import TimeLimit

__all__ = ["AdversaryHealth", "EpochLine", "LastCheckpoint", "MetricsCsv", "SourceSlices", "StepTimer", "TimeLimit"]
