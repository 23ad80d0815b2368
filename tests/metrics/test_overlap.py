"""Boxes around masks, and counts of masks that were cropped out of a volume."""

import numpy as np

from pedseg.metrics.overlap import bounding_box, count_voxels, specificity
from pedseg.metrics.scoring import score_case


def test_box_by_hand() -> None:
    mask = np.zeros((5, 6, 7), dtype=bool)
    assert bounding_box(mask) is None
    mask[1, 2, 3] = mask[3, 2, 6] = True
    assert bounding_box(mask) == (slice(1, 4), slice(2, 3), slice(3, 7))
    mask[0, 5, 0] = True
    assert bounding_box(mask) == (slice(0, 4), slice(2, 6), slice(0, 7))


def test_background_outside_a_crop_counts() -> None:
    prediction, label = np.zeros((2, 10), dtype=bool)
    prediction[2:5], label[3:6] = True, True
    whole = count_voxels(prediction, label)
    assert specificity(whole) == 6 / 7
    assert count_voxels(prediction[2:6], label[2:6], total_voxels=10) == whole


def test_volume_around_the_masks_changes_nothing_but_specificity() -> None:
    rng = np.random.default_rng(0)
    prediction, label = rng.random((2, 3, 6, 7, 8)) < 0.3
    small = score_case(prediction, label, spacing_mm=(1, 2, 3))
    padding = ((0, 0), (4, 0), (1, 5), (0, 3))
    large = score_case(np.pad(prediction, padding), np.pad(label, padding), spacing_mm=(1, 2, 3))
    for a, b in zip(small, large, strict=True):
        assert (a.dice, a.hd95_mm, a.sensitivity, a.label_voxels) == (b.dice, b.hd95_mm, b.sensitivity, b.label_voxels)
        assert a.specificity < b.specificity
