"""Scores by lesion instead of by voxel: each lesion against the prediction that belongs to it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pedseg.metrics.definitions import Definition
from pedseg.metrics.overlap import bounding_box, count_voxels, dice
from pedseg.metrics.surface import SurfaceDistances

METRICS = ("dice", "hd95_mm", "surface_dice")


@dataclass(frozen=True, slots=True)
class LesionScores:
    """Scores of one region of one case by lesion; means are over what the definition counts.

    Attributes:
        dice: mean, 0-1.
        hd95_mm: mean.
        surface_dice: mean, 0-1.
        f1: of finding lesions, 0-1.
        found: lesions with a prediction.
        missed: lesions without.
        false_positives: predicted components without a lesion.
    """

    dice: float
    hd95_mm: float
    surface_dice: float
    f1: float
    found: int
    missed: int
    false_positives: int


def score_lesions(
    prediction: NDArray[np.bool_],
    label: NDArray[np.bool_],
    *,
    spacing_mm: Sequence[float],
    definition: Definition,
    tolerance_mm: float | None = None,
    whole: SurfaceDistances | None = None,
) -> LesionScores:
    """Score two masks by lesion.

    Args:
        prediction: mask (Z, Y, X).
        label: mask of the same shape.
        spacing_mm: voxel size (z, y, x).
        definition: which rules.
        tolerance_mm: of the surface Dice; None for the definition's.
        whole: distances between the masks, to save time where they are known and there is one lesion.
    """
    box = bounding_box(prediction | label) or ()
    prediction, label = prediction[box], label[box]
    pairing = definition.pair_lesions(prediction, label, spacing_mm=spacing_mm)
    found, unpaired = len(pairing.pairs), pairing.missed + pairing.false_positives
    empty = definition.empty
    if not (found or unpaired):
        return LesionScores(**empty.no_lesion, found=0, missed=0, false_positives=0)
    tolerance = definition.lesion_tolerance_mm(spacing_mm) if tolerance_mm is None else tolerance_mm
    everything = count_voxels(prediction, label)
    rows: list[tuple[float, ...]] = []
    for p, g in pairing.pairs:
        counts = count_voxels(p, g, total_voxels=label.size)
        known = whole if counts == everything else None
        distances = known or definition.distances(p, g, spacing_mm=spacing_mm)
        near = definition.surface_dice(distances, tolerance_mm=tolerance)
        rows.append((dice(counts), definition.hd95_mm(distances), near))
    if definition.counts_unpaired or not rows:
        rows += [tuple(empty.unpaired[metric] for metric in METRICS)] * unpaired
    means = {metric: sum(values) / len(rows) for metric, values in zip(METRICS, zip(*rows, strict=True), strict=True)}
    f1 = 2 * found / (2 * found + unpaired)
    return LesionScores(**means, f1=f1, found=found, missed=pairing.missed, false_positives=pairing.false_positives)
