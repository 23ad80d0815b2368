"""Which predicted lesion answers which lesion of the label, by the rules of two evaluations.

BraTS 2023 (`pair_by_surroundings`):

1. Components are 26-connected. Label components whose surroundings of three dilations touch are one lesion.
2. Every predicted component that touches the surroundings of a lesion belongs to it (it may belong to several).
3. Lesions of 50 mm³ or less are left out; a predicted component that belongs to one is neither right nor wrong.

brats-evaluation of 2025 (`pair_one_to_one`): 26-connected components, each with one partner at most, so that the sum of
their Dice is largest; nothing is dilated, merged or left out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

Mask = NDArray[np.bool_]
Labels = NDArray[np.uint32]
Box = tuple[slice, ...]

DILATIONS = 3
CONNECTIVITY: Final = 26
SMALLEST_MM3 = 50.0
SMALLEST_DICE = 1e-6  # of partners


@dataclass(frozen=True, slots=True)
class Pairing:
    """Lesions and their predictions.

    Attributes:
        pairs: prediction and label of each lesion that has both, as masks in the box around the two.
        missed: lesions without a prediction.
        false_positives: predicted components without a lesion.
    """

    pairs: Sequence[tuple[Mask, Mask]]
    missed: int
    false_positives: int


def pair_by_surroundings(prediction: Mask, label: Mask, *, spacing_mm: Sequence[float]) -> Pairing:
    """Pair lesions with all predicted components in their surroundings (BraTS 2023).

    The box around both masks is enough: what the dilations reach outside it touches nothing that does not also touch
    inside it, because moving a voxel to the nearest one of the box brings it no further from any voxel of the box.

    Args:
        prediction: mask (Z, Y, X).
        label: mask of the same shape.
        spacing_mm: voxel size (z, y, x).
    """
    surroundings = _components(dilate(label, steps=DILATIONS))
    predicted = _components(prediction)
    owned = _owned(surroundings, predicted)
    lesions = np.where(label, surroundings, np.uint32(0))
    sizes_mm3 = np.bincount(surroundings[label])[1:] * float(np.prod(spacing_mm))
    counted = [int(lesion) for lesion in np.flatnonzero(sizes_mm3 > SMALLEST_MM3) + 1]
    found = {lesion: owned[lesion] for lesion in counted if lesion in owned}
    return Pairing(
        pairs=_cut(predicted, lesions, found),
        missed=len(counted) - len(found),
        false_positives=int(predicted.max(initial=0)) - len(set().union(*owned.values())),
    )


def pair_one_to_one(prediction: Mask, label: Mask, *, spacing_mm: Sequence[float]) -> Pairing:
    """Pair each component with one of the other side at most (brats-evaluation); see `pair_by_surroundings`.

    Of several best assignments scipy's is taken, on the whole matrix of components in the order of the array, as the
    reference does: they may differ in distances.
    """
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415  (of one definition alone)

    lesions, predicted = _components(label), _components(prediction)
    sizes = [np.bincount(lesions[label])[1:], np.bincount(predicted[prediction])[1:]]
    common = np.zeros([len(side) for side in sizes])
    rows, columns, voxels = _overlaps(lesions, predicted)
    common[rows - 1, columns - 1] = voxels
    dice = 2 * common / np.add.outer(*sizes)
    dice[dice < SMALLEST_DICE] = -SMALLEST_DICE
    rows, columns = linear_sum_assignment(1.0 - dice)
    partners = {int(r) + 1: [int(c) + 1] for r, c in zip(rows, columns, strict=True) if dice[r, c] > 0}
    missed, invented = (len(side) - len(partners) for side in sizes)
    return Pairing(_cut(predicted, lesions, partners), missed, invented)


def dilate(mask: Mask, *, steps: int) -> Mask:
    """Dilate a mask (Z, Y, X) with the 18 neighbours that share a face or an edge, `steps` times.

    The 18-neighbourhood is the union of three squares of 3 × 3 voxels, one across each axis, and a square is two
    dilations along a line; lines are dilated by shifts of the array.
    """
    for _ in range(steps):
        lines = [_along(mask, axis) for axis in range(3)]
        mask = _along(lines[0], 1) | _along(lines[1], 2) | _along(lines[2], 0)
    return mask


def _along(mask: Mask, axis: int) -> Mask:
    result = mask.copy()
    ours, theirs = np.moveaxis(result, axis, 0), np.moveaxis(mask, axis, 0)
    ours[1:] |= theirs[:-1]
    ours[:-1] |= theirs[1:]
    return result


def connected_parts(mask: Mask) -> NDArray[np.int64]:
    """Voxels of each 26-connected component of a mask, in the order of the array."""
    return np.bincount(_components(mask).ravel())[1:].astype(np.int64)


def _components(mask: Mask) -> Labels:
    """Components by number, in the order of the array.

    The rim is for cc3d 3.29, which reserves too few numbers for scattered voxels in thin arrays and gives up.
    """
    found = cc3d.connected_components(np.pad(np.ascontiguousarray(mask), 1), connectivity=CONNECTIVITY)
    return np.asarray(found[1:-1, 1:-1, 1:-1], dtype=np.uint32)


def _owned(surroundings: Labels, predicted: Labels) -> dict[int, list[int]]:
    """Predicted components that touch the surroundings of each lesion that has any."""
    owned: dict[int, list[int]] = {}
    lesions, components, _ = _overlaps(surroundings, predicted)
    for lesion, component in zip(lesions.tolist(), components.tolist(), strict=True):
        owned.setdefault(lesion, []).append(component)
    return owned


def _overlaps(lesions: Labels, predicted: Labels) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of components with a common voxel: number on either side, and how many voxels they share."""
    both = (lesions > 0) & (predicted > 0)
    several = int(predicted.max(initial=0)) + 1
    codes, voxels = np.unique(lesions[both].astype(np.int64) * several + predicted[both], return_counts=True)
    return codes // several, codes % several, voxels


def _cut(predicted: Labels, lesions: Labels, partners: dict[int, list[int]]) -> list[tuple[Mask, Mask]]:
    """Prediction and label of each lesion in the box around the two."""
    lesion_boxes, predicted_boxes = find_objects(lesions), find_objects(predicted)
    pairs = []
    for lesion, components in partners.items():
        box = _around([lesion_boxes[lesion - 1], *(predicted_boxes[c - 1] for c in components)])
        ours = predicted[box]
        pairs.append((np.logical_or.reduce([ours == c for c in components]), lesions[box] == lesion))
    return pairs


def _around(boxes: Iterable[Box]) -> Box:
    return tuple(slice(min(s.start for s in sides), max(s.stop for s in sides)) for sides in zip(*boxes, strict=True))
