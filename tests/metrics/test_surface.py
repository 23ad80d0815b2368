"""HD95 and surface Dice against the reference packages, a brute-force computation, and values worked out by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter

from pedseg.metrics import (
    SurfaceDistances,
    border_distances,
    hausdorff_mm,
    mean_surface_dice,
    pooled_hausdorff_mm,
    surface_area_table,
    surface_dice,
    surface_distances,
)
from pedseg.metrics.areas import neighbourhood_codes
from tests.exactness import Exact

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]
Measure = Callable[..., SurfaceDistances]
PEER = {"section": "Metrics", "peer": "surface-distance"}
HD = {**PEER, "tolerance": 1e-6, "unit": "mm"}
DICE = {**PEER, "tolerance": 1e-9}
SPACINGS = [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (1.0, 2.0, 3.0), (2.5, 0.7, 1.3)]
FINE_SPACINGS = [(0.9375, 0.9375, 0.9375), (5.0, 0.43, 0.43)]
TOLERANCES_MM = (0.0, 0.5, 1.0, 2.0, 3.7)
ON_BLOBS = "of rough blobs at four spacings"
ON_EDGES = "of masks of one voxel, at the border, touching, filling the volume, at four spacings"
FAR_APART = "of blobs 100 voxels apart at six spacings"
FULL_SIZE = "of nested tumours in 240 × 240 × 155 voxels"


def blob(seed: int, shape: tuple[int, int, int] = (24, 20, 28), *, threshold: float = 0.02) -> Mask:
    return np.asarray(gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 2.5) > threshold)


def box(shape: tuple[int, int, int], *sides: slice) -> Mask:
    mask = np.zeros(shape, dtype=bool)
    mask[sides] = True
    return mask


def compare(prediction: Mask, label: Mask, spacing: Spacing, exact: Exact, *, inputs: str) -> SurfaceDistances:
    """Measure HD and surface Dice of a pair of masks beside those of surface-distance."""
    reference = pytest.importorskip("surface_distance")
    ours = surface_distances(prediction, label, spacing_mm=spacing)
    theirs = reference.compute_surface_distances(label, prediction, spacing)
    for percentile in (50, 95, 100):
        expected = reference.compute_robust_hausdorff(theirs, percentile)
        exact(abs(hausdorff_mm(ours, percentile=percentile) - expected), f"HD at 50, 95, 100 % {inputs}")
    for tolerance in TOLERANCES_MM:
        expected = reference.compute_surface_dice_at_tolerance(theirs, tolerance)
        subject = f"Surface Dice within 0, 0.5, 1, 2, 3.7 mm {inputs}"
        exact(abs(surface_dice(ours, tolerance_mm=tolerance) - expected), subject)
    return ours


@pytest.mark.exact(f"HD at 50, 95, 100 % {ON_BLOBS}", **HD)
@pytest.mark.exact(f"Surface Dice within 0, 0.5, 1, 2, 3.7 mm {ON_BLOBS}", **DICE)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_equal_to_surface_distance(spacing: Spacing, exact: Exact) -> None:
    for seed in range(4):
        distances = compare(blob(seed + 100, threshold=0.03), blob(seed), spacing, exact, inputs=ON_BLOBS)
        assert 0 < surface_dice(distances, tolerance_mm=1.0) < 1
        assert hausdorff_mm(distances) > 1


@pytest.mark.exact(f"HD at 50, 95, 100 % {ON_EDGES}", **HD)
@pytest.mark.exact(f"Surface Dice within 0, 0.5, 1, 2, 3.7 mm {ON_EDGES}", **DICE)
@pytest.mark.parametrize(
    "pair",
    [
        (box((9, 9, 9), slice(4, 5), slice(4, 5), slice(4, 5)), box((9, 9, 9), slice(7, 8), slice(4, 5), slice(1, 2))),
        (box((9, 9, 9), slice(0, 3), slice(0, 3), slice(0, 9)), box((9, 9, 9), slice(6, 9), slice(0, 9), slice(6, 9))),
        (box((9, 9, 9), slice(0, 4), slice(0, 9), slice(0, 9)), box((9, 9, 9), slice(4, 9), slice(0, 9), slice(0, 9))),
        (box((9, 9, 9), slice(0, 9), slice(0, 9), slice(0, 9)), box((9, 9, 9), slice(3, 4), slice(0, 9), slice(2, 3))),
    ],
    ids=["one voxel", "at the border", "touching", "everything"],
)
def test_edge_cases_equal_to_surface_distance(pair: tuple[Mask, Mask], exact: Exact) -> None:
    for spacing in SPACINGS:
        compare(*pair, spacing, exact, inputs=ON_EDGES)


@pytest.mark.exact(f"HD at 50, 95, 100 % {FAR_APART}", **HD)
@pytest.mark.exact(f"Surface Dice within 0, 0.5, 1, 2, 3.7 mm {FAR_APART}", **DICE)
@pytest.mark.parametrize("spacing", [*SPACINGS, *FINE_SPACINGS])
def test_far_apart_is_as_exact(spacing: Spacing, exact: Exact) -> None:
    """Squares of distances of 100 voxels and more at a broken spacing, where single precision is off by 1e-5 mm."""
    label, prediction = (np.zeros((60, 70, 150), dtype=bool) for _ in range(2))
    label[2:26, 3:23, 1:29] = blob(11)
    prediction[30:54, 40:60, 118:146] = blob(12)
    compare(prediction, label, spacing, exact, inputs=FAR_APART)


@pytest.mark.exact(f"HD at 50, 95, 100 % {FULL_SIZE}", **HD)
@pytest.mark.exact(f"Surface Dice within 0, 0.5, 1, 2, 3.7 mm {FULL_SIZE}", **DICE)
def test_full_size_equal_to_surface_distance(tumours: tuple[Mask, Mask], exact: Exact) -> None:
    for prediction, label in zip(*tumours, strict=True):
        compare(prediction, label, (1.0, 1.0, 1.0), exact, inputs=FULL_SIZE)


def test_equal_to_brute_force() -> None:
    """All pairwise distances between surface points, no search tree."""
    spacing = (1.0, 2.0, 3.0)
    label, prediction = blob(7, (10, 9, 8)), blob(8, (10, 9, 8))
    codes = [neighbourhood_codes(np.pad(mask, 1)) for mask in (prediction, label)]
    points = [np.argwhere((code > 0) & (code < 255)) * np.asarray(spacing) for code in codes]
    areas = [surface_area_table(spacing)[code[(code > 0) & (code < 255)]] for code in codes]
    between = np.linalg.norm(points[0][:, None] - points[1][None], axis=-1)
    worst, near = 0.0, 0.0
    for distances, area in ((between.min(1), areas[0]), (between.min(0), areas[1])):
        order = np.argsort(distances)
        worst = max(worst, distances[order][np.searchsorted(np.cumsum(area[order]) / area.sum(), 0.95)])
        near += area[distances <= 2.5].sum()
    ours = surface_distances(prediction, label, spacing_mm=spacing)
    assert hausdorff_mm(ours) == pytest.approx(worst, abs=1e-6)
    assert surface_dice(ours, tolerance_mm=2.5) == pytest.approx(near / np.concatenate(areas).sum())


@pytest.mark.parametrize("spacing", SPACINGS)
def test_borders_equal_to_erosion_and_distance_transforms(spacing: Spacing) -> None:
    for prediction, label in (
        (blob(1), blob(2)),
        (blob(3, (5, 6, 7), threshold=-0.02), np.ones((5, 6, 7), dtype=bool)),
    ):
        borders = [mask & ~binary_erosion(mask) for mask in (prediction, label)]
        fields = [distance_transform_edt(~border, sampling=spacing) for border in borders]
        there, back = fields[1][borders[0]], fields[0][borders[1]]
        ours = border_distances(prediction, label, spacing_mm=spacing)
        assert pooled_hausdorff_mm(ours) == pytest.approx(np.percentile([*there, *back], 95), abs=1e-9)
        expected = ((there <= 1.5).mean() + (back <= 1.5).mean()) / 2
        assert mean_surface_dice(ours, tolerance_mm=1.5) == pytest.approx(expected)


def test_shifted_box_by_hand() -> None:
    a = box((20, 20, 20), slice(5, 10), slice(5, 10), slice(5, 10))
    b = box((20, 20, 20), slice(5, 10), slice(5, 10), slice(8, 13))
    assert hausdorff_mm(surface_distances(a, b, spacing_mm=(1, 1, 1))) == 3.0
    assert hausdorff_mm(surface_distances(a, b, spacing_mm=(1, 1, 2))) == 6.0
    assert hausdorff_mm(surface_distances(a, a, spacing_mm=(1, 1, 2))) == 0.0
    assert surface_dice(surface_distances(a, a, spacing_mm=(1, 1, 2)), tolerance_mm=0.0) == 1.0


def test_measures_of_given_distances_by_hand() -> None:
    """Two surfaces: areas 1 + 1 + 2 at 0, 2, 4 mm from the other one, and area 4 at 1 mm."""
    distances = SurfaceDistances(
        prediction_mm=np.array([4.0, 0.0, 2.0]),
        label_mm=np.array([1.0]),
        prediction_areas=np.array([2.0, 1.0, 1.0]),
        label_areas=np.array([4.0]),
    )
    assert surface_dice(distances, tolerance_mm=1.0) == pytest.approx((1 + 4) / 8)
    assert mean_surface_dice(distances, tolerance_mm=1.0) == pytest.approx((1 / 4 + 1) / 2)
    assert hausdorff_mm(distances, percentile=50.0) == 2.0  # half of the area lies at 0 and 2 mm
    assert hausdorff_mm(distances, percentile=51.0) == 4.0
    assert pooled_hausdorff_mm(distances, percentile=50.0) == 1.5  # between 0, 1, 2, 4


@pytest.mark.parametrize("measure", [surface_distances, border_distances])
def test_empty_masks(measure: Measure) -> None:
    empty, full = np.zeros((4, 4, 4), dtype=bool), np.ones((4, 4, 4), dtype=bool)
    for pair in ((empty, empty), (empty, full), (full, empty)):
        distances = measure(*pair, spacing_mm=(1, 1, 1))
        for hausdorff in (hausdorff_mm, pooled_hausdorff_mm):
            assert math.isnan(hausdorff(distances)) if pair[0] is pair[1] else math.isinf(hausdorff(distances))
        for dice in (surface_dice, mean_surface_dice):
            value = dice(distances, tolerance_mm=1e6)
            assert math.isnan(value) if pair[0] is pair[1] else value == 0


@pytest.mark.parametrize("measure", [surface_distances, border_distances])
def test_symmetric_and_independent_of_padding(measure: Measure) -> None:
    a, b = blob(1), blob(2)
    distance, back = (measure(*pair, spacing_mm=(1, 2, 3)) for pair in ((a, b), (b, a)))
    padded = measure(np.pad(a, 5), np.pad(b, 5), spacing_mm=(1, 2, 3))
    for metric in (hausdorff_mm, pooled_hausdorff_mm):
        assert metric(distance) == metric(back) == metric(padded)
