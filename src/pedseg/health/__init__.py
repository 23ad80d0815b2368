"""Health of the adversary: an early warning from the curves of a run, with the setting to change."""

from pedseg.health.epochs import CHANCE, METRICS, Epoch, epoch_of
from pedseg.health.rules import RULES, Finding, Thresholds, diagnose, judge

__all__ = ["CHANCE", "METRICS", "RULES", "Epoch", "Finding", "Thresholds", "diagnose", "epoch_of", "judge"]
