"""Boxes around masks, counts of masks that were cropped out of a volume, and what is made of counts."""

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from pedseg.metrics.overlap import bounding_box, count_voxels, dice, sensitivity, specificity
from pedseg.metrics.scoring import score_case
from tests.exactness import Exact

SCORES = "Dice, sensitivity and specificity of random masks of every density"
VOLUMES = "Volumes of random masks at four spacings"


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


@pytest.mark.exact(SCORES, section="Metrics", peer="scikit-learn", tolerance=1e-12)
@pytest.mark.exact(VOLUMES, section="Metrics", peer="numpy", tolerance=1e-9, unit="mm³")
def test_equal_to_scikit_learn(exact: Exact) -> None:
    rng = np.random.default_rng(0)
    for density in (0.001, 0.1, 0.5, 0.9, 0.999):
        prediction, label = (rng.random((12, 11, 10)) < density for _ in range(2))
        label[0, 0, 0], label[0, 0, 1] = True, False  # both classes occur
        counts = count_voxels(prediction, label)
        p, g = prediction.ravel(), label.ravel()
        exact(abs(dice(counts) - f1_score(g, p)), SCORES)
        exact(abs(sensitivity(counts) - recall_score(g, p)), SCORES)
        exact(abs(specificity(counts) - recall_score(g, p, pos_label=False)), SCORES)
        for spacing in ((1.0, 1.0, 1.0), (2.0, 1.0, 1.5), (0.9375, 0.9375, 1.2), (5.0, 0.43, 0.43)):
            score = score_case(np.stack([prediction] * 3), np.stack([label] * 3), spacing_mm=spacing)[0]
            volumes = [np.full(mask.shape, math.prod(spacing))[mask].sum() for mask in (prediction, label)]
            exact(abs(score.prediction_volume_mm3 - volumes[0]), VOLUMES)
            exact(abs(score.label_volume_mm3 - volumes[1]), VOLUMES)
