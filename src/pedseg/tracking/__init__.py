"""Experiment trackers: what a run tells them beside its curves, and what their dashboards show."""

from pedseg.tracking.results import results_of
from pedseg.tracking.tracker import CaseRow, Tracker, trackers

__all__ = ["CaseRow", "Tracker", "results_of", "trackers"]
