"""All scores of one case."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pedseg.labels import Region
from pedseg.metrics.empty import resolve
from pedseg.metrics.lesionwise import score_lesions
from pedseg.metrics.overlap import bounding_box, count_voxels, dice, sensitivity, specificity
from pedseg.metrics.surface import hausdorff_distance_mm


@dataclass(frozen=True, slots=True)
class RegionScore:
    """Scores of one region of one case; see `pedseg.metrics.empty` for empty masks.

    Attributes:
        region: the region.
        dice: overlap, 0-1.
        hd95_mm: 95th percentile of the surface distance.
        sensitivity: share of the label that is found, 0-1.
        specificity: share of the background that is left alone, 0-1.
        label_volume_mm3: volume of the label.
        prediction_volume_mm3: volume of the prediction.
        label_voxels: voxels of the label.
        raw_dice: before the table of empty masks; NaN if both are empty.
        raw_hd95_mm: before the table; NaN if both masks are empty, infinity if one is.
        lesionwise_dice: mean over lesions and false positives, see `pedseg.metrics.lesionwise`.
        lesionwise_hd95_mm: the same of the surface distance.
        lesionwise_f1: of finding lesions, 0-1.
    """

    region: Region
    dice: float
    hd95_mm: float
    sensitivity: float
    specificity: float
    label_volume_mm3: float
    prediction_volume_mm3: float
    label_voxels: int
    raw_dice: float
    raw_hd95_mm: float
    lesionwise_dice: float
    lesionwise_hd95_mm: float
    lesionwise_f1: float


def score_case(
    prediction: NDArray[np.bool_], label: NDArray[np.bool_], *, spacing_mm: Sequence[float]
) -> list[RegionScore]:
    """Score region masks (3, Z, Y, X) against those of the label, WT, TC, ET.

    Raises:
        ValueError: the shapes differ.
    """
    if prediction.shape != label.shape:
        raise ValueError(f"prediction of shape {prediction.shape} against label of shape {label.shape}")
    box = bounding_box(np.any(prediction | label, axis=0)) or ()
    pairs = zip(Region, prediction[:, *box], label[:, *box], strict=True)
    total = label[0].size
    return [_score_region(region, p, g, spacing_mm=spacing_mm, total_voxels=total) for region, p, g in pairs]


def _score_region(
    region: Region,
    prediction: NDArray[np.bool_],
    label: NDArray[np.bool_],
    *,
    spacing_mm: Sequence[float],
    total_voxels: int,
) -> RegionScore:
    counts = count_voxels(prediction, label, total_voxels=total_voxels)
    raw = {
        "dice": dice(counts),
        "hd95_mm": hausdorff_distance_mm(prediction, label, spacing_mm=spacing_mm),
        "sensitivity": sensitivity(counts),
        "specificity": specificity(counts),
    }
    label_voxels, prediction_voxels = counts.tp + counts.fn, counts.tp + counts.fp
    final = {
        name: resolve(name, value, label_empty=not label_voxels, prediction_empty=not prediction_voxels)
        for name, value in raw.items()
    }
    lesions = score_lesions(prediction, label, spacing_mm=spacing_mm, whole_hd95_mm=raw["hd95_mm"])
    voxel_mm3 = float(np.prod(spacing_mm))
    return RegionScore(
        region=region,
        label_volume_mm3=label_voxels * voxel_mm3,
        prediction_volume_mm3=prediction_voxels * voxel_mm3,
        label_voxels=label_voxels,
        raw_dice=raw["dice"],
        raw_hd95_mm=raw["hd95_mm"],
        lesionwise_dice=lesions.dice,
        lesionwise_hd95_mm=lesions.hd95_mm,
        lesionwise_f1=lesions.f1,
        **final,
    )
