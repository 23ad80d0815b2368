"""Lesion-wise scores against a plain computation of the rules on whole volumes, and against values by hand."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.metrics import LesionScores, get_definition, score_lesions, surface_distances
from tests.exactness import Exact
from tests.metrics.cases import cases_at_one_mm, cases_elsewhere

Mask = NDArray[np.bool_]
Score = Callable[..., LesionScores]
SPACING = (1.0, 1.0, 1.0)
EIGHTEEN = ndimage.generate_binary_structure(3, 2)
TWENTY_SIX = np.ones((3, 3, 3))
RULES = {"section": "Metrics", "peer": "independent implementation in the tests"}
score_2023: Score = partial(score_lesions, definition=get_definition("brats2023"))
score_2025: Score = partial(score_lesions, definition=get_definition("brats2025"))


def by_the_rules(prediction: Mask, label: Mask, spacing: tuple[float, float, float]) -> tuple[float, float, int]:
    """Dice, HD95 and false positives, lesion after lesion on the whole volume, with SciPy and surface-distance."""
    reference = pytest.importorskip("surface_distance")
    zones, n_zones = ndimage.label(ndimage.binary_dilation(label, EIGHTEEN, iterations=3), TWENTY_SIX)
    parts, n_parts = ndimage.label(prediction, TWENTY_SIX)
    dices, distances, used = [], [], set()
    for zone in range(1, n_zones + 1):
        lesion = label & (zones == zone)
        touching = set(parts[ndimage.binary_dilation(lesion, EIGHTEEN, iterations=3)].tolist()) - {0}
        used |= touching
        if lesion.sum() * np.prod(spacing) <= 50:
            continue
        ours = np.isin(parts, list(touching))
        dices.append(2 * (ours & lesion).sum() / (ours.sum() + lesion.sum()))
        surfaces = reference.compute_surface_distances(lesion, ours, spacing) if touching else None
        distances.append(reference.compute_robust_hausdorff(surfaces, 95) if surfaces else 374.0)
    invented = n_parts - len(used)
    count = len(dices) + invented
    if not count:
        return 1.0, 0.0, 0
    return sum(dices) / count, (sum(distances) + 374.0 * invented) / count, invented


def box(*corner: int, size: int = 4, shape: tuple[int, int, int] = (30, 30, 30)) -> Mask:
    mask = np.zeros(shape, dtype=bool)
    z, y, x = corner
    mask[z : z + size, y : y + size, x : x + size] = True
    return mask


METRICS = ("Lesion-wise Dice", "Lesion-wise HD95", "Number of false positive lesions")
RANDOM = "by brats2023: random lesions that merge, split, touch and are missed, two spacings"
MADE = (
    "by brats2023: random blobs and many lesions, touching and one-voxel lesions, empty masks on either and both "
    "sides, masks without a common voxel, lesions at the border, four anisotropic spacings"
)
FULL_SIZE = "by brats2023: nested tumours in 240 × 240 × 155 voxels"


def rows(inputs: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Three rows of the page."""

    def mark(test: Callable[..., None]) -> Callable[..., None]:
        for metric, unit, tolerance in zip(METRICS, ("", "mm", ""), (1e-9, 1e-6, 0), strict=True):
            subject = f"{metric} {inputs}"
            test = pytest.mark.exact(subject, **RULES, tolerance=tolerance, unit=unit)(test)
        return test

    return mark


def compare(
    prediction: Mask, label: Mask, spacing: tuple[float, float, float], exact: Exact, *, inputs: str
) -> LesionScores:
    expected = by_the_rules(prediction, label, spacing)
    scores = score_2023(prediction, label, spacing_mm=spacing)
    found = (scores.dice, scores.hd95_mm, scores.false_positives)
    for metric, ours, theirs in zip(METRICS, found, expected, strict=True):
        exact(abs(ours - theirs), f"{metric} {inputs}")
    return scores


@rows(RANDOM)
@pytest.mark.parametrize("spacing", [SPACING, (2.0, 1.0, 1.5)])
@pytest.mark.parametrize("seed", range(6))
def test_equal_to_the_rules_on_random_lesions(seed: int, spacing: tuple[float, float, float], exact: Exact) -> None:
    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.standard_normal((36, 40, 44)), 1.8) for _ in range(3)]
    label = fields[0] > 0.14
    prediction = fields[0] + 0.6 * fields[1 + seed % 2] > 0.17
    scores = compare(prediction, label, spacing, exact, inputs=RANDOM)
    assert scores.found >= 2
    assert score_2023(np.pad(prediction, 5), np.pad(label, 5), spacing_mm=spacing) == scores


@rows(MADE)
def test_equal_to_the_rules_on_made_cases(exact: Exact) -> None:
    for _, prediction, label, spacing in (*cases_at_one_mm(), *cases_elsewhere()):
        for p, g in zip(prediction, label, strict=True):
            compare(p, g, spacing, exact, inputs=MADE)


@rows(FULL_SIZE)
def test_equal_to_the_rules_at_full_size(tumours: tuple[Mask, Mask], exact: Exact) -> None:
    for p, g in zip(*tumours, strict=True):
        compare(p, g, SPACING, exact, inputs=FULL_SIZE)


def test_one_found_one_missed_one_invented() -> None:
    label = box(2, 2, 2) | box(2, 2, 20)
    prediction = box(2, 2, 2) | box(20, 20, 20)
    scores = score_2023(prediction, label, spacing_mm=SPACING)
    assert (scores.found, scores.missed, scores.false_positives) == (1, 1, 1)
    assert scores.dice == pytest.approx(1 / 3)
    assert scores.hd95_mm == pytest.approx(374 * 2 / 3)
    assert scores.f1 == pytest.approx(0.5)


def test_small_lesions_are_neither_right_nor_wrong() -> None:
    small, large = box(20, 20, 20, size=3), box(2, 2, 2)  # 27 and 64 mm³
    for prediction in (large, large | small):
        scores = score_2023(prediction, large | small, spacing_mm=SPACING)
        assert (scores.dice, scores.hd95_mm, scores.f1, scores.found, scores.missed) == (1.0, 0.0, 1.0, 1, 0)
    alone = score_2023(np.zeros_like(small), small, spacing_mm=SPACING)
    assert (alone.dice, alone.hd95_mm, alone.f1) == (1.0, 0.0, 1.0)
    assert score_2023(np.zeros_like(small), small, spacing_mm=(2, 1, 1)).missed == 1  # now 54 mm³


@pytest.mark.parametrize(("gap", "found"), [(5, 1), (6, 1), (7, 2), (8, 2)])
def test_lesions_whose_surroundings_touch_are_one(gap: int, found: int) -> None:
    label = box(4, 4, 2) | box(4, 4, 6 + gap)
    assert score_2023(label, label, spacing_mm=SPACING).found == found


def test_distance_of_the_whole_is_used_for_a_single_lesion_only() -> None:
    label, prediction = box(2, 2, 2), box(2, 2, 3)
    far = surface_distances(label, box(2, 2, 9), spacing_mm=SPACING)  # 7 mm, to tell that it was taken
    assert score_2023(prediction, label, spacing_mm=SPACING).hd95_mm == 1.0
    assert score_2023(prediction, label, spacing_mm=SPACING, whole=far).hd95_mm == 7.0
    two = score_2023(prediction | box(20, 20, 20), label | box(20, 20, 20), spacing_mm=SPACING, whole=far)
    assert two.hd95_mm == 0.5


@pytest.mark.parametrize("score", [score_2023, score_2025])
def test_empty_masks(score: Score) -> None:
    empty, full = np.zeros((30, 30, 30), dtype=bool), box(0, 0, 0)
    worst = (0.0, 374.0 if score is score_2023 else math.inf, 0.0, 0.0)
    for pair in ((full, empty), (empty, full)):
        scores = score(*pair, spacing_mm=SPACING)
        assert (scores.dice, scores.hd95_mm, scores.surface_dice, scores.f1) == worst
    scores = score(full, full, spacing_mm=SPACING)
    assert (scores.dice, scores.hd95_mm, scores.surface_dice, scores.f1) == (1.0, 0.0, 1.0, 1.0)
    scores = score(empty, empty, spacing_mm=SPACING)
    values = (scores.dice, scores.hd95_mm, scores.surface_dice, scores.f1)
    assert values == (1.0, 0.0, 1.0, 1.0) if score is score_2023 else all(map(math.isnan, values))


def hand_made() -> tuple[Mask, Mask]:
    """Prediction and label of four lesions and a stray voxel in 40 × 40 × 40 voxels of 1 mm.

    1. Label 4 × 4 × 4 (64 mm³), prediction the same moved along x by 1.
    2. Label 4 × 4 × 4, prediction its two ends along x, 4 × 4 × 1, which do not touch each other.
    3. Label 5 × 5 × 5, no prediction.
    4. Label 3 × 3 × 3 (27 mm³), prediction the same.
    5. Prediction of one voxel far from everything.
    """
    at = partial(box, shape=(40, 40, 40))
    label = at(2, 2, 2) | at(2, 2, 20) | at(20, 2, 2, size=5) | at(20, 20, 2, size=3)
    ends = at(2, 2, 20)
    ends[:, :, 21:23] = False
    return at(2, 2, 3) | ends | at(20, 20, 2, size=3) | at(34, 34, 34, size=1), label


def test_figures_of_2023_worked_out_by_hand() -> None:
    """Lesion 4 is below 50 mm³ and left out with its prediction; both ends belong to lesion 2; four are counted.

    Dice: 1) 48 of 64 voxels are common, 2 · 48 / 128 = 3/4. 2) 2 · 32 / (64 + 32) = 2/3. 3) and 5) 0.
    HD95: 1) the sides across x are 1 mm from each other, a sixth of the surface. 2) grid points half way between the
    ends are 1 mm from an end, and the ends' inner sides are 1 mm from the outer ones, which are the label's: no point
    is further, and the inner sides are more than a tenth of the surface. 3) and 5) 374 mm. Mean 750 / 4.
    No point of 1) and 2) is further than 1 mm, so their surface Dice is 1; the mean is 2/4.
    """
    scores = score_2023(*hand_made(), spacing_mm=SPACING)
    assert scores.dice == pytest.approx((3 / 4 + 2 / 3) / 4)
    assert scores.hd95_mm == 187.5
    assert scores.surface_dice == 0.5
    assert scores.f1 == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert (scores.found, scores.missed, scores.false_positives) == (2, 1, 1)


def test_figures_of_2025_worked_out_by_hand() -> None:
    """Lesion 2 has one end as its partner, the other end is a false positive; nothing is too small to count.

    Means are over the pairs 1, 2 and 4, each against its one partner.
    Dice: 3/4; 2 · 16 / (64 + 16) = 2/5; 1.
    HD95 over the border voxels of both: 1) 1 mm. 2) The label has 56, of which 16, 12, 12 and 16 are 0, 1, 2 and 3 mm
    from the end, and all 16 of the end are at 0: the 95th percentile of the 72 is 3 mm. 4) 0 mm.
    Surface Dice within a voxel: 1; (28/56 + 1) / 2 = 3/4; 1.
    """
    scores = score_2025(*hand_made(), spacing_mm=SPACING)
    assert scores.dice == pytest.approx((3 / 4 + 2 / 5 + 1) / 3)
    assert scores.hd95_mm == pytest.approx((1 + 3 + 0) / 3)
    assert scores.surface_dice == pytest.approx((1 + 3 / 4 + 1) / 3)
    assert scores.f1 == pytest.approx(2 * 3 / (2 * 3 + 1 + 2))
    assert (scores.found, scores.missed, scores.false_positives) == (3, 1, 2)


def test_best_sum_not_best_first_by_the_rules_of_2025() -> None:
    """Rods along x. Label A = 0-9, B = 11-13; prediction P = 5-13 (9 voxels), Q = 0-3 (4).

    A·P = 5 common of 10 + 9: 10/19 = 0.526; A·Q = 4 of 10 + 4: 8/14 = 0.571; B·P = 3 of 3 + 9: 0.5.
    A·Q and B·P together are best: mean (4/7 + 1/2) / 2.
    """
    label, prediction = np.zeros((2, 1, 1, 14), dtype=bool)
    label[..., 0:10] = label[..., 11:14] = True
    prediction[..., 5:14] = prediction[..., 0:4] = True
    scores = score_2025(prediction, label, spacing_mm=SPACING)
    assert scores.dice == pytest.approx((4 / 7 + 1 / 2) / 2)
    assert (scores.found, scores.missed, scores.false_positives) == (2, 0, 0)


def test_touching_by_a_corner_is_one_lesion() -> None:
    label = box(2, 2, 2) | box(6, 6, 6)
    for score in (score_2023, score_2025):
        assert score(label, label, spacing_mm=SPACING).found == 1
    apart = box(2, 2, 2) | box(7, 6, 6)  # a voxel further: 2025 tells them apart, 2023 merges over seven voxels
    assert score_2023(apart, apart, spacing_mm=SPACING).found == 1
    assert score_2025(apart, apart, spacing_mm=SPACING).found == 2
