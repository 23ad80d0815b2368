"""Scores of a case, with every combination of empty masks."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pedseg.errors import PedsegError
from pedseg.labels import Region
from pedseg.metrics import Counts, count_voxels, dice, score_case, sensitivity, specificity


def test_counts_and_ratios_by_hand() -> None:
    prediction = np.array([1, 1, 1, 0, 0, 0, 0, 0], dtype=bool)
    label = np.array([1, 1, 0, 1, 0, 0, 0, 0], dtype=bool)
    counts = count_voxels(prediction, label)
    assert counts == Counts(tp=2, fp=1, fn=1, tn=4)
    assert dice(counts) == pytest.approx(4 / 6)
    assert sensitivity(counts) == pytest.approx(2 / 3)
    assert specificity(counts) == pytest.approx(4 / 5)


def one_empty_region() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """WT in both, shifted by a voxel; TC in the prediction only; ET in neither."""
    prediction, label = (np.zeros((3, 6, 6, 6), dtype=bool) for _ in range(2))
    prediction[0, 1:4, 1:4, 1:4] = label[0, 1:4, 1:4, 2:5] = True
    prediction[1, 1:3, 1:3, 1:3] = True
    return prediction, label


def test_case_with_every_combination_of_empty_masks() -> None:
    wt, tc, et = score_case(*one_empty_region(), spacing_mm=(1, 1, 2))
    assert [s.region for s in (wt, tc, et)] == list(Region)
    assert wt.dice == wt.raw_dice == pytest.approx(2 / 3)
    assert wt.hd95_mm == wt.raw_hd95_mm == 2.0
    assert (wt.surface_dice, wt.sensitivity, wt.specificity) == (
        wt.raw_surface_dice,
        wt.raw_sensitivity,
        wt.raw_specificity,
    )
    assert (wt.label_voxels, wt.label_volume_mm3, wt.prediction_volume_mm3) == (27, 54.0, 54.0)
    assert (tc.dice, tc.hd95_mm, tc.sensitivity, tc.surface_dice) == (0.0, 374.0, 0.0, 0.0)
    assert tc.specificity == pytest.approx(208 / 216)
    assert tc.raw_dice == tc.raw_surface_dice == 0.0
    assert math.isinf(tc.raw_hd95_mm)
    assert math.isnan(tc.raw_sensitivity)
    assert (et.dice, et.hd95_mm, et.sensitivity, et.specificity, et.surface_dice) == (1.0, 0.0, 1.0, 1.0, 1.0)
    assert all(map(math.isnan, (et.raw_dice, et.raw_hd95_mm, et.raw_sensitivity, et.raw_surface_dice)))
    assert et.raw_specificity == 1.0
    assert {(s.definition, s.surface_tolerance_mm) for s in (wt, tc, et)} == {("brats2023", 1.0)}


def test_the_same_case_by_the_definition_of_2025() -> None:
    wt, tc, et = score_case(*one_empty_region(), spacing_mm=(1, 1, 1), definition="brats2025")
    assert wt.dice == pytest.approx(2 / 3)
    # 26 border voxels a side (all but the middle): some are shared, the rest lie a voxel from the other border
    assert wt.hd95_mm == wt.raw_hd95_mm == 1.0
    assert (tc.dice, tc.hd95_mm, tc.surface_dice, tc.raw_hd95_mm) == (0.0, 373.0, 0.0, math.inf)
    assert (tc.lesionwise_dice, tc.lesionwise_hd95_mm, tc.lesionwise_f1) == (0.0, math.inf, 0.0)
    assert math.isnan(tc.sensitivity)
    scores = (et.dice, et.hd95_mm, et.surface_dice, et.lesionwise_dice, et.lesionwise_hd95_mm, et.lesionwise_f1)
    assert all(map(math.isnan, scores))
    assert {(s.definition, s.surface_tolerance_mm) for s in (wt, tc, et)} == {("brats2025", 0.5)}


def test_masks_without_a_common_voxel() -> None:
    """Raw distance is kept; 2025 gives such a pair the penalty, 2023 does not."""
    prediction, label = (np.zeros((3, 9, 9, 9), dtype=bool) for _ in range(2))
    prediction[:, 1:3, 1:3, 1:3] = label[:, 1:3, 1:3, 5:7] = True
    old, new = (
        score_case(prediction, label, spacing_mm=(1, 1, 1), definition=d)[0] for d in ("brats2023", "brats2025")
    )
    assert (old.dice, old.hd95_mm, old.raw_hd95_mm) == (0.0, 4.0, 4.0)
    assert (new.dice, new.hd95_mm, new.raw_hd95_mm) == (0.0, 373.0, 4.0)


def test_tolerance_of_the_surface_dice() -> None:
    for definition in ("brats2023", "brats2025"):
        scores = [
            score_case(*one_empty_region(), spacing_mm=(1, 1, 2), definition=definition, tolerance_mm=mm)[0]
            for mm in (0.0, 1.0, 2.0)
        ]
        assert [s.surface_tolerance_mm for s in scores] == [0.0, 1.0, 2.0]
        assert scores[0].surface_dice < 1.0 == scores[2].surface_dice == scores[2].lesionwise_surface_dice
        assert [s.surface_dice for s in scores] == sorted(s.surface_dice for s in scores)


def test_missed_region() -> None:
    label = np.zeros((3, 4, 4, 4), dtype=bool)
    label[:, 1, 1, 1] = True
    for score in score_case(np.zeros_like(label), label, spacing_mm=(1, 1, 1)):
        assert (score.dice, score.hd95_mm, score.sensitivity, score.specificity) == (0.0, 374.0, 0.0, 1.0)
        assert (score.raw_sensitivity, score.surface_dice) == (0.0, 0.0)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shape"):
        score_case(np.zeros((3, 2, 2, 2), bool), np.zeros((3, 2, 2, 3), bool), spacing_mm=(1, 1, 1))


def test_wrong_settings() -> None:
    masks = (np.zeros((3, 2, 2, 2), bool),) * 2
    with pytest.raises(PedsegError, match="'brats2024' of the metrics is unknown; use one of brats2023, brats2025"):
        score_case(*masks, spacing_mm=(1, 1, 1), definition="brats2024")
    for tolerance in (-1.0, math.nan):
        with pytest.raises(PedsegError, match="is no distance"):
            score_case(*masks, spacing_mm=(1, 1, 1), tolerance_mm=tolerance)


@pytest.mark.parametrize("definition", ["brats2023", "brats2025"])
def test_ignored_voxels_are_scored_as_if_they_were_not_there(definition: str) -> None:
    """Every score is that of maps that are empty there, but for specificity, whose true negatives are the others."""
    rng = np.random.default_rng(3)
    ignored = np.zeros((12, 13, 14), dtype=bool)
    ignored[3:9, 2:7, 4:8] = True
    label = np.zeros((3, 12, 13, 14), dtype=bool)
    label[0, 2:9, 3:9, 3:9] = True
    label[1] = label[0] & (rng.random(ignored.shape) < 0.7)
    label[2] = label[1] & (rng.random(ignored.shape) < 0.5)
    prediction = np.roll(label, 1, axis=2)
    how: Any = {"spacing_mm": (1, 1, 2), "definition": definition}
    scores = score_case(prediction, np.concatenate([label, ignored[None]]), **how)
    cleared = score_case(prediction & ~ignored, label & ~ignored, **how)
    for found, expected, p, g in zip(scores, cleared, prediction, label, strict=True):
        ours, theirs = asdict(found), asdict(expected)
        for name in ("specificity", "raw_specificity"):
            negative = ~ignored & ~g
            assert ours.pop(name) == pytest.approx((negative & ~p).sum() / negative.sum())
            assert theirs.pop(name) > (negative & ~p).sum() / negative.sum()
        assert ours == theirs
        assert found.label_voxels == (g & ~ignored).sum() < g.sum()
    for below in (prediction | ignored, prediction & ~ignored):
        assert score_case(below, np.concatenate([label, ignored[None]]), **how) == scores
    everything = score_case(prediction, np.concatenate([label, np.ones_like(label[:1])]), **how)
    assert [score.label_voxels for score in everything] == [0, 0, 0]
    assert math.isnan(everything[0].raw_specificity)
