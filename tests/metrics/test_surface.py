"""HD95 against the reference package, a brute-force computation, and values worked out by hand."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pedseg.metrics import hausdorff_distance_mm, surface_area_table
from pedseg.metrics.surface import CORNERS, neighbourhood_codes
from tests.exactness import Exact

Mask = NDArray[np.bool_]
PEER = {"section": "Metrics", "peer": "surface-distance"}
SPACINGS = [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (1.0, 2.0, 3.0), (2.5, 0.7, 1.3)]


def blob(seed: int, shape: tuple[int, int, int] = (24, 20, 28), *, threshold: float = 0.02) -> Mask:
    return np.asarray(gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 2.5) > threshold)


def box(shape: tuple[int, int, int], *sides: slice) -> Mask:
    mask = np.zeros(shape, dtype=bool)
    mask[sides] = True
    return mask


@pytest.mark.exact("Surface area of the 256 neighbourhoods", **PEER, tolerance=1e-9, unit="mm²")
@pytest.mark.parametrize("spacing", SPACINGS)
def test_areas_equal_the_reference_table(spacing: tuple[float, float, float], exact: Exact) -> None:
    tables = pytest.importorskip("surface_distance.lookup_tables")
    theirs = np.asarray(tables.create_table_neighbour_code_to_surface_area(spacing))
    weights = [int(tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL[corner]) for corner in CORNERS]
    for code in range(256):
        their_code = sum(weight for bit, weight in enumerate(weights) if code >> bit & 1)
        exact(abs(surface_area_table(spacing)[code] - theirs[their_code]))


def test_areas_by_hand() -> None:
    table = surface_area_table((1.0, 1.0, 1.0))
    assert table[0] == table[255] == 0
    assert table[1] == pytest.approx(np.sqrt(3) / 8)  # one corner cut off: a triangle with sides of sqrt(1/2)
    assert table[0b00001111] == pytest.approx(1.0)  # half of the cube
    assert table[0b10000001] == pytest.approx(np.sqrt(3) / 4)  # two opposite corners
    assert np.allclose(table, table[::-1])  # inside and outside are alike


def test_codes_by_hand() -> None:
    mask = box((3, 3, 3), slice(1, 2), slice(1, 2), slice(1, 2))
    codes = neighbourhood_codes(mask)
    assert codes.shape == (2, 2, 2)
    for z, y, x in itertools.product((0, 1), repeat=3):
        assert codes[z, y, x] == 1 << CORNERS.index((1 - z, 1 - y, 1 - x))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(4))
def test_equal_to_surface_distance(spacing: tuple[float, float, float], seed: int) -> None:
    reference = pytest.importorskip("surface_distance")
    label, prediction = blob(seed), blob(seed + 100, threshold=0.03)
    distances = reference.compute_surface_distances(label, prediction, spacing)
    for percentile in (50, 95, 100):
        theirs = reference.compute_robust_hausdorff(distances, percentile)
        ours = hausdorff_distance_mm(prediction, label, spacing_mm=spacing, percentile=percentile)
        assert ours == pytest.approx(theirs, abs=1e-6)


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
def test_edge_cases_equal_to_surface_distance(pair: tuple[Mask, Mask]) -> None:
    reference = pytest.importorskip("surface_distance")
    for spacing in SPACINGS:
        distances = reference.compute_surface_distances(*pair, spacing)
        theirs = reference.compute_robust_hausdorff(distances, 95)
        assert hausdorff_distance_mm(pair[1], pair[0], spacing_mm=spacing) == pytest.approx(theirs, abs=1e-6)


def test_equal_to_brute_force() -> None:
    """All pairwise distances between surface points, no distance transform."""
    spacing = (1.0, 2.0, 3.0)
    label, prediction = blob(7, (10, 9, 8)), blob(8, (10, 9, 8))
    codes = [neighbourhood_codes(np.pad(mask, 1)) for mask in (prediction, label)]
    points = [np.argwhere((code > 0) & (code < 255)) * np.asarray(spacing) for code in codes]
    areas = [surface_area_table(spacing)[code[(code > 0) & (code < 255)]] for code in codes]
    between = np.linalg.norm(points[0][:, None] - points[1][None], axis=-1)
    worst = 0.0
    for distances, area in ((between.min(1), areas[0]), (between.min(0), areas[1])):
        order = np.argsort(distances)
        worst = max(worst, distances[order][np.searchsorted(np.cumsum(area[order]) / area.sum(), 0.95)])
    assert hausdorff_distance_mm(prediction, label, spacing_mm=spacing) == pytest.approx(worst, abs=1e-6)


def test_shifted_box_by_hand() -> None:
    a = box((20, 20, 20), slice(5, 10), slice(5, 10), slice(5, 10))
    b = box((20, 20, 20), slice(5, 10), slice(5, 10), slice(8, 13))
    assert hausdorff_distance_mm(a, b, spacing_mm=(1, 1, 1)) == 3.0
    assert hausdorff_distance_mm(a, b, spacing_mm=(1, 1, 2)) == 6.0
    assert hausdorff_distance_mm(a, a, spacing_mm=(1, 1, 2)) == 0.0


def test_empty_masks() -> None:
    empty, full = np.zeros((4, 4, 4), dtype=bool), np.ones((4, 4, 4), dtype=bool)
    assert np.isnan(hausdorff_distance_mm(empty, empty, spacing_mm=(1, 1, 1)))
    assert np.isinf(hausdorff_distance_mm(empty, full, spacing_mm=(1, 1, 1)))
    assert np.isinf(hausdorff_distance_mm(full, empty, spacing_mm=(1, 1, 1)))


def test_symmetric_and_independent_of_padding() -> None:
    a, b = blob(1), blob(2)
    distance = hausdorff_distance_mm(a, b, spacing_mm=(1, 2, 3))
    assert hausdorff_distance_mm(b, a, spacing_mm=(1, 2, 3)) == distance
    assert hausdorff_distance_mm(np.pad(a, 5), np.pad(b, 5), spacing_mm=(1, 2, 3)) == distance


@pytest.mark.parametrize("spacing", [*SPACINGS, (0.9375, 0.9375, 0.9375), (5.0, 0.43, 0.43)])
def test_far_apart_is_as_exact(spacing: tuple[float, float, float]) -> None:
    """Squares of distances of 100 voxels and more at a broken spacing, where single precision is off by 1e-5 mm."""
    reference = pytest.importorskip("surface_distance")
    label, prediction = (np.zeros((60, 70, 150), dtype=bool) for _ in range(2))
    label[2:26, 3:23, 1:29] = blob(11)
    prediction[30:54, 40:60, 118:146] = blob(12)
    distances = reference.compute_surface_distances(label, prediction, spacing)
    for percentile in (95, 100):
        theirs = reference.compute_robust_hausdorff(distances, percentile)
        ours = hausdorff_distance_mm(prediction, label, spacing_mm=spacing, percentile=percentile)
        assert ours == pytest.approx(theirs, abs=1e-9)
