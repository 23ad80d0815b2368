"""Overlap of two masks, from the four counts of voxels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Counts:
    """Voxels of a prediction against a label.

    Attributes:
        tp: in both.
        fp: in the prediction only.
        fn: in the label only.
        tn: in neither.
    """

    tp: int
    fp: int
    fn: int
    tn: int


def count_voxels(prediction: NDArray[np.bool_], label: NDArray[np.bool_]) -> Counts:
    """Count the voxels of two masks of one shape."""
    tp = int(np.count_nonzero(prediction & label))
    fp = int(np.count_nonzero(prediction)) - tp
    fn = int(np.count_nonzero(label)) - tp
    return Counts(tp, fp, fn, label.size - tp - fp - fn)


def dice(counts: Counts) -> float:
    """2 TP / (2 TP + FP + FN); NaN if both masks are empty."""
    return _ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn)


def sensitivity(counts: Counts) -> float:
    """TP / (TP + FN); NaN if the label is empty."""
    return _ratio(counts.tp, counts.tp + counts.fn)


def specificity(counts: Counts) -> float:
    """TN / (TN + FP), over the whole volume as BraTS does; NaN if the label fills it."""
    return _ratio(counts.tn, counts.tn + counts.fp)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
