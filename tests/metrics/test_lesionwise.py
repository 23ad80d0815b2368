"""Lesion-wise scores against a plain computation of the rules on whole volumes, and against values by hand."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.metrics.lesionwise import dilate, score_lesions

Mask = NDArray[np.bool_]
SPACING = (1.0, 1.0, 1.0)
EIGHTEEN = ndimage.generate_binary_structure(3, 2)
TWENTY_SIX = np.ones((3, 3, 3))


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


@pytest.mark.parametrize("spacing", [SPACING, (2.0, 1.0, 1.5)])
@pytest.mark.parametrize("seed", range(6))
def test_equal_to_the_rules_on_random_lesions(seed: int, spacing: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.standard_normal((36, 40, 44)), 1.8) for _ in range(3)]
    label = fields[0] > 0.14
    prediction = fields[0] + 0.6 * fields[1 + seed % 2] > 0.17
    expected = by_the_rules(prediction, label, spacing)
    scores = score_lesions(prediction, label, spacing_mm=spacing)
    assert scores.found >= 2
    assert score_lesions(np.pad(prediction, 5), np.pad(label, 5), spacing_mm=spacing) == scores
    assert (scores.dice, scores.hd95_mm, scores.false_positives) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", [(5, 6, 7), (1, 9, 9), (12, 12, 12)])
def test_dilation_equals_scipy(shape: tuple[int, int, int]) -> None:
    mask = np.random.default_rng(0).random(shape) < 0.02
    mask[0, 0, 0] = True
    for steps in (1, 3):
        assert np.array_equal(dilate(mask, steps=steps), ndimage.binary_dilation(mask, EIGHTEEN, iterations=steps))


def test_one_found_one_missed_one_invented() -> None:
    label = box(2, 2, 2) | box(2, 2, 20)
    prediction = box(2, 2, 2) | box(20, 20, 20)
    scores = score_lesions(prediction, label, spacing_mm=SPACING)
    assert (scores.found, scores.missed, scores.false_positives) == (1, 1, 1)
    assert scores.dice == pytest.approx(1 / 3)
    assert scores.hd95_mm == pytest.approx(374 * 2 / 3)
    assert scores.f1 == pytest.approx(0.5)


def test_small_lesions_are_neither_right_nor_wrong() -> None:
    small, large = box(20, 20, 20, size=3), box(2, 2, 2)  # 27 and 64 mm³
    for prediction in (large, large | small):
        scores = score_lesions(prediction, large | small, spacing_mm=SPACING)
        assert (scores.dice, scores.hd95_mm, scores.f1, scores.found, scores.missed) == (1.0, 0.0, 1.0, 1, 0)
    alone = score_lesions(np.zeros_like(small), small, spacing_mm=SPACING)
    assert (alone.dice, alone.hd95_mm, alone.f1) == (1.0, 0.0, 1.0)
    assert score_lesions(np.zeros_like(small), small, spacing_mm=(2, 1, 1)).missed == 1  # now 54 mm³


@pytest.mark.parametrize(("gap", "found"), [(5, 1), (6, 1), (7, 2), (8, 2)])
def test_lesions_whose_surroundings_touch_are_one(gap: int, found: int) -> None:
    label = box(4, 4, 2) | box(4, 4, 6 + gap)
    assert score_lesions(label, label, spacing_mm=SPACING).found == found


def test_distance_of_the_whole_is_used_for_a_single_lesion_only() -> None:
    label, prediction = box(2, 2, 2), box(2, 2, 3)
    assert score_lesions(prediction, label, spacing_mm=SPACING).hd95_mm == 1.0
    assert score_lesions(prediction, label, spacing_mm=SPACING, whole_hd95_mm=7.0).hd95_mm == 7.0
    two = score_lesions(prediction | box(20, 20, 20), label | box(20, 20, 20), spacing_mm=SPACING, whole_hd95_mm=7.0)
    assert two.hd95_mm == 0.5


def test_empty_masks() -> None:
    empty, full = np.zeros((30, 30, 30), dtype=bool), box(0, 0, 0)
    expected = {(False, False): (1.0, 0.0, 1.0), (True, False): (0.0, 374.0, 0.0), (False, True): (0.0, 374.0, 0.0)}
    for p, g in itertools.product((False, True), repeat=2):
        scores = score_lesions(full if p else empty, full if g else empty, spacing_mm=SPACING)
        assert (scores.dice, scores.hd95_mm, scores.f1) == expected.get((p, g), (1.0, 0.0, 1.0))
