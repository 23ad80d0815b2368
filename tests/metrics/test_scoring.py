"""Scores of a case, with every combination of empty masks."""

import math

import numpy as np
import pytest

from pedseg.labels import Region
from pedseg.metrics import Counts, count_voxels, dice, score_case, sensitivity, specificity
from pedseg.metrics.empty import resolve


def test_counts_and_ratios_by_hand() -> None:
    prediction = np.array([1, 1, 1, 0, 0, 0, 0, 0], dtype=bool)
    label = np.array([1, 1, 0, 1, 0, 0, 0, 0], dtype=bool)
    counts = count_voxels(prediction, label)
    assert counts == Counts(tp=2, fp=1, fn=1, tn=4)
    assert dice(counts) == pytest.approx(4 / 6)
    assert sensitivity(counts) == pytest.approx(2 / 3)
    assert specificity(counts) == pytest.approx(4 / 5)


def test_case_with_every_combination_of_empty_masks() -> None:
    prediction, label = (np.zeros((3, 6, 6, 6), dtype=bool) for _ in range(2))
    prediction[0, 1:4, 1:4, 1:4] = label[0, 1:4, 1:4, 2:5] = True  # WT: both there
    prediction[1, 1:3, 1:3, 1:3] = True  # TC: label empty; ET: both empty
    wt, tc, et = score_case(prediction, label, spacing_mm=(1, 1, 2))
    assert [s.region for s in (wt, tc, et)] == list(Region)
    assert wt.dice == wt.raw_dice == pytest.approx(2 / 3)
    assert wt.hd95_mm == wt.raw_hd95_mm == 2.0
    assert (wt.label_voxels, wt.label_volume_mm3, wt.prediction_volume_mm3) == (27, 54.0, 54.0)
    assert (tc.dice, tc.hd95_mm, tc.sensitivity) == (0.0, 374.0, 0.0)
    assert tc.specificity == pytest.approx(208 / 216)
    assert tc.raw_dice == 0.0
    assert math.isinf(tc.raw_hd95_mm)
    assert (et.dice, et.hd95_mm, et.sensitivity, et.specificity) == (1.0, 0.0, 1.0, 1.0)
    assert math.isnan(et.raw_dice)
    assert math.isnan(et.raw_hd95_mm)


def test_missed_region() -> None:
    label = np.zeros((3, 4, 4, 4), dtype=bool)
    label[:, 1, 1, 1] = True
    for score in score_case(np.zeros_like(label), label, spacing_mm=(1, 1, 1)):
        assert (score.dice, score.hd95_mm, score.sensitivity, score.specificity) == (0.0, 374.0, 0.0, 1.0)


def test_full_masks_need_no_table() -> None:
    assert resolve("dice", 0.3, label_empty=False, prediction_empty=False) == 0.3


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shape"):
        score_case(np.zeros((3, 2, 2, 2), bool), np.zeros((3, 2, 2, 3), bool), spacing_mm=(1, 1, 1))
