"""Overlap of two masks, from the four counts of voxels, and the box around a mask."""

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


def count_voxels(prediction: NDArray[np.bool_], label: NDArray[np.bool_], *, total_voxels: int | None = None) -> Counts:
    """Count the voxels of two masks of one shape.

    Args:
        prediction: mask (Z, Y, X).
        label: mask of the same shape.
        total_voxels: voxels of the whole volume, where the masks were cropped out of one; None for those given.
    """
    total = label.size if total_voxels is None else total_voxels
    tp = int(np.count_nonzero(prediction & label))
    fp = int(np.count_nonzero(prediction)) - tp
    fn = int(np.count_nonzero(label)) - tp
    return Counts(tp, fp, fn, total - tp - fp - fn)


def dice(counts: Counts) -> float:
    """2 TP / (2 TP + FP + FN); NaN if both masks are empty."""
    return _ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn)


def sensitivity(counts: Counts) -> float:
    """TP / (TP + FN); NaN if the label is empty."""
    return _ratio(counts.tp, counts.tp + counts.fn)


def specificity(counts: Counts) -> float:
    """TN / (TN + FP), over the whole volume as BraTS does; NaN if the label fills it."""
    return _ratio(counts.tn, counts.tn + counts.fp)


def bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, ...] | None:
    """Smallest box around the true voxels of a mask; None if there are none.

    Each axis is searched inside the box of the axes before it, so that only the first search reads the whole array.
    """
    box: tuple[slice, ...] = ()
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        occupied = np.flatnonzero(mask[box].any(axis=others))
        if not len(occupied):
            return None
        box = (*box, slice(int(occupied[0]), int(occupied[-1]) + 1))
    return box


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
