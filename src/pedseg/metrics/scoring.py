"""All scores of one case."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pedseg.ignored import judged
from pedseg.labels import Region
from pedseg.metrics.definitions import Definition, check_rules, get_definition
from pedseg.metrics.lesionwise import score_lesions
from pedseg.metrics.overlap import bounding_box, count_voxels, dice, sensitivity, specificity


@dataclass(frozen=True, slots=True)
class RegionScore:
    """Scores of one region of one case; `pedseg.metrics.empty` says what empty masks are worth.

    Attributes:
        region: the region.
        dice: overlap, 0-1.
        hd95_mm: 95th percentile of the surface distance.
        sensitivity: share of the label that is found, 0-1.
        specificity: share of the background that is left alone, 0-1.
        label_volume_mm3: volume of the label.
        prediction_volume_mm3: volume of the prediction.
        label_voxels: voxels of the label.
        raw_dice: before the table of empty masks, as the others that begin with raw; NaN if both are empty.
        raw_hd95_mm: NaN if both masks are empty, infinity if one is.
        lesionwise_dice: mean over lesions, see `pedseg.metrics.definitions`.
        lesionwise_hd95_mm: the same of the surface distance.
        lesionwise_f1: of finding lesions, 0-1.
        surface_dice: normalised surface Dice, 0-1.
        lesionwise_surface_dice: mean over lesions.
        raw_sensitivity: NaN if the label is empty.
        raw_specificity: NaN if the label fills the volume.
        raw_surface_dice: NaN if both are empty.
        surface_tolerance_mm: distance up to which `surface_dice` takes surfaces for the same.
        definition: name of the definition of these metrics.
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
    surface_dice: float
    lesionwise_surface_dice: float
    raw_sensitivity: float
    raw_specificity: float
    raw_surface_dice: float
    surface_tolerance_mm: float
    definition: str


def score_case(
    prediction: NDArray[np.bool_],
    label: NDArray[np.bool_],
    *,
    spacing_mm: Sequence[float],
    definition: str = "brats2023",
    tolerance_mm: float | None = None,
) -> list[RegionScore]:
    """Score region masks (3, Z, Y, X) against those of the label, WT, TC, ET.

    Voxels that the label ignores are background on both sides, and no true negatives: all scores, volumes and counts
    are those of the other voxels.

    Args:
        prediction: masks.
        label: masks of the same shape, or with a fourth one of ignored voxels.
        spacing_mm: voxel size (z, y, x).
        definition: name of the definition of the metrics, see `pedseg.metrics.definitions`.
        tolerance_mm: of the surface Dice, of whole regions and of lesions; None for the definition's.

    Raises:
        PedsegError: the definition is unknown or the tolerance negative.
        ValueError: the shapes differ.
    """
    check_rules(definition, tolerance_mm)
    if prediction.shape[1:] != label.shape[1:]:
        raise ValueError(f"prediction of shape {prediction.shape} against label of shape {label.shape}")
    prediction, label, ignored = judged(prediction, label)
    box = bounding_box(np.any(prediction | label, axis=0)) or ()
    pairs = zip(Region, prediction[:, *box], label[:, *box], strict=True)
    score = partial(
        _score_region,
        spacing_mm=spacing_mm,
        total_voxels=label[0].size - (0 if ignored is None else int(np.count_nonzero(ignored))),
        rules=get_definition(definition),
        tolerance_mm=tolerance_mm,
    )
    return [score(*pair) for pair in pairs]


def _score_region(
    region: Region,
    prediction: NDArray[np.bool_],
    label: NDArray[np.bool_],
    *,
    spacing_mm: Sequence[float],
    total_voxels: int,
    rules: Definition,
    tolerance_mm: float | None,
) -> RegionScore:
    counts = count_voxels(prediction, label, total_voxels=total_voxels)
    distances = rules.distances(prediction, label, spacing_mm=spacing_mm)
    tolerance = rules.tolerance_mm if tolerance_mm is None else tolerance_mm
    raw = {
        "dice": dice(counts),
        "hd95_mm": rules.hd95_mm(distances),
        "sensitivity": sensitivity(counts),
        "specificity": specificity(counts),
        "surface_dice": rules.surface_dice(distances, tolerance_mm=tolerance),
    }
    lesions = score_lesions(
        prediction, label, spacing_mm=spacing_mm, definition=rules, tolerance_mm=tolerance_mm, whole=distances
    )
    voxel_mm3 = float(np.prod(spacing_mm))
    return RegionScore(
        region=region,
        label_volume_mm3=(counts.tp + counts.fn) * voxel_mm3,
        prediction_volume_mm3=(counts.tp + counts.fp) * voxel_mm3,
        label_voxels=counts.tp + counts.fn,
        lesionwise_dice=lesions.dice,
        lesionwise_hd95_mm=lesions.hd95_mm,
        lesionwise_f1=lesions.f1,
        lesionwise_surface_dice=lesions.surface_dice,
        surface_tolerance_mm=tolerance,
        definition=rules.name,
        **{name: rules.empty.resolve(name, value, counts) for name, value in raw.items()},
        **{f"raw_{name}": value for name, value in raw.items()},
    )
