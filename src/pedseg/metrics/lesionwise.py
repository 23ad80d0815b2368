"""Scores by lesion instead of by voxel, by the rules of the BraTS 2023 evaluation.

1. Components are 26-connected. Label components whose surroundings of three dilations touch are one lesion.
2. Every predicted component that touches the surroundings of a lesion belongs to it (it may belong to several).
3. Lesions of 50 mm³ or less are left out; a predicted component that belongs to one is neither right nor wrong.
4. Dice and HD95 are those of each remaining lesion against its predicted components, 0 and 374 mm if it has none.
   A predicted component without a lesion, whatever its size, counts 0 and 374 mm as well.
5. The case gets the mean over lesions and such false positives; 1 and 0 mm if there is neither.

F1 counts a lesion as found if any predicted component belongs to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cc3d
import numpy as np
from numpy.typing import NDArray

from pedseg.metrics.empty import BOTH_EMPTY, WORST_DISTANCE_MM
from pedseg.metrics.overlap import bounding_box, count_voxels, dice
from pedseg.metrics.surface import hausdorff_distance_mm

DILATIONS = 3
CONNECTIVITY: Final = 26
SMALLEST_MM3 = 50.0


@dataclass(frozen=True, slots=True)
class LesionScores:
    """Scores of one region of one case by lesion.

    Attributes:
        dice: mean over lesions and false positives, 0-1.
        hd95_mm: mean over lesions and false positives.
        f1: of finding lesions, 0-1.
        found: lesions with a predicted component.
        missed: lesions without.
        false_positives: predicted components without a lesion.
    """

    dice: float
    hd95_mm: float
    f1: float
    found: int
    missed: int
    false_positives: int


def score_lesions(
    prediction: NDArray[np.bool_],
    label: NDArray[np.bool_],
    *,
    spacing_mm: Sequence[float],
    whole_hd95_mm: float | None = None,
) -> LesionScores:
    """Score two masks by lesion.

    The box around both masks is enough: what the dilations reach outside it touches nothing that does not also touch
    inside it, because moving a voxel to the nearest one of the box brings it no further from any voxel of the box.

    Args:
        prediction: mask (Z, Y, X).
        label: mask of the same shape.
        spacing_mm: voxel size (z, y, x).
        whole_hd95_mm: `hausdorff_distance_mm` of the masks, to save time where it is known and they are one lesion.
    """
    box = bounding_box(prediction | label) or ()
    prediction, label = prediction[box], label[box]
    surroundings = _components(dilate(label, steps=DILATIONS))
    predicted = _components(prediction)
    owned = _owned(surroundings, predicted)
    lesions = np.where(label, surroundings, 0)
    sizes_mm3 = np.bincount(lesions.ravel(), minlength=1)[1:] * float(np.prod(spacing_mm))
    counted = [int(lesion) for lesion in np.flatnonzero(sizes_mm3 > SMALLEST_MM3) + 1]
    found = [lesion for lesion in counted if lesion in owned]
    false_positives = int(predicted.max(initial=0)) - len(set().union(*owned.values()))
    unpaired = len(counted) - len(found) + false_positives
    if not found and not unpaired:
        return LesionScores(BOTH_EMPTY["dice"], BOTH_EMPTY["hd95_mm"], 1.0, 0, 0, 0)
    total_dice, total_mm = 0.0, unpaired * WORST_DISTANCE_MM
    for lesion in found:
        g, p = lesions == lesion, np.isin(predicted, owned[lesion])
        total_dice += dice(count_voxels(p, g))
        whole = np.array_equal(p, prediction) and np.array_equal(g, label)
        known = whole_hd95_mm if whole else None
        total_mm += hausdorff_distance_mm(p, g, spacing_mm=spacing_mm) if known is None else known
    return LesionScores(
        dice=total_dice / (len(found) + unpaired),
        hd95_mm=total_mm / (len(found) + unpaired),
        f1=2 * len(found) / (2 * len(found) + unpaired),
        found=len(found),
        missed=len(counted) - len(found),
        false_positives=false_positives,
    )


def dilate(mask: NDArray[np.bool_], *, steps: int) -> NDArray[np.bool_]:
    """Dilate a mask (Z, Y, X) with the 18 neighbours that share a face or an edge, `steps` times.

    The 18-neighbourhood is the union of three squares of 3 × 3 voxels, one across each axis, and a square is two
    dilations along a line; lines are dilated by shifts of the array.
    """
    for _ in range(steps):
        lines = [_along(mask, axis) for axis in range(3)]
        mask = _along(lines[0], 1) | _along(lines[1], 2) | _along(lines[2], 0)
    return mask


def _along(mask: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    result = mask.copy()
    ours, theirs = np.moveaxis(result, axis, 0), np.moveaxis(mask, axis, 0)
    ours[1:] |= theirs[:-1]
    ours[:-1] |= theirs[1:]
    return result


def _components(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.asarray(cc3d.connected_components(mask, connectivity=CONNECTIVITY), dtype=np.int64)


def _owned(surroundings: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[int, list[int]]:
    """Predicted components that touch the surroundings of each lesion that has any."""
    both = (surroundings > 0) & (predicted > 0)
    stride = int(predicted.max(initial=0)) + 1
    owned: dict[int, list[int]] = {}
    for code in np.unique(surroundings[both] * stride + predicted[both]).tolist():
        owned.setdefault(code // stride, []).append(code % stride)
    return owned
