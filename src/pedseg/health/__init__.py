"""Health of the adversary: an early warning from the curves of a run, with the setting to change."""

from pedseg.health.adversary import Adversary, adversary_in
from pedseg.health.epochs import CHANCE, METRICS, Epoch, epoch_of
from pedseg.health.rules import RULES, Finding, Thresholds, diagnose, judge

__all__ = [
    "CHANCE",
    "METRICS",
    "RULES",
    "Adversary",
    "Epoch",
    "Finding",
    "Thresholds",
    "adversary_in",
    "diagnose",
    "epoch_of",
    "judge",
]
