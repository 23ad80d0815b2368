"""Rules of post-processing, by hand and against slow implementations."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.inference.postprocessing import (
    RULE_SETS,
    KeepLargest,
    SmallComponents,
    apply_rules,
    keep_largest,
    low_ed_ratio,
    low_et_ratio,
    relabel,
    small_components,
)
from pedseg.labels import Region, get_convention, labels_from_regions, regions_from_labels
from tests.exactness import Exact

CONVENTION = get_convention("brats2023")  # 1 NC, 2 ED, 3 ET
NC, ED, ET = 1, 2, 3
EVERYWHERE = np.ones((3, 3, 3), dtype=int)


def masks(label: NDArray[np.integer]) -> NDArray[np.bool_]:
    return regions_from_labels(label, CONVENTION)


def tissues(regions: NDArray[np.bool_]) -> NDArray[np.uint8]:
    assert np.all(regions[0] >= regions[1])
    assert np.all(regions[1] >= regions[2])
    return labels_from_regions(regions, CONVENTION)


def row(*runs: tuple[int, int]) -> NDArray[np.uint8]:
    """A label map of one line: (voxels, label) after one another."""
    return np.concatenate([np.full(n, value, dtype=np.uint8) for n, value in runs])[None, None]


def random_label(seed: int, *, density: float = 0.35, shape: Sequence[int] = (14, 13, 12)) -> NDArray[np.uint8]:
    """Speckles of all tissues with components of many sizes, also at the border."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 0.8)
    tumour = smooth > np.quantile(smooth, 1 - density)
    return np.where(tumour, rng.choice([NC, ED, ED, ET], size=shape), 0).astype(np.uint8)


@pytest.mark.parametrize("region", Region)
def test_keep_largest_by_slow_flood(region: Region) -> None:
    index = tuple(Region).index(region)
    dropped = 0
    for seed in range(5):
        label = random_label(seed, density=0.12)
        regions = masks(label)
        components, count = ndimage.label(regions[index], structure=EVERYWHERE)
        sizes = [int((components == i + 1).sum()) for i in range(count)]
        expected = label.copy()
        for i, size in enumerate(sizes):
            if size < max(sizes):
                expected[components == i + 1] = 0
                dropped += 1
        np.testing.assert_array_equal(tissues(keep_largest(regions, region)), expected)
    assert dropped > 10


def test_equally_large_components_all_stay() -> None:
    label = row((3, ED), (1, 0), (2, ED), (1, 0), (3, ED))
    expected = row((3, ED), (4, 0), (3, ED))
    np.testing.assert_array_equal(tissues(keep_largest(masks(label), Region.WT)), expected)


def test_keep_largest_takes_a_component_out_of_every_region() -> None:
    label = row((4, ED), (2, NC), (1, ET), (3, ED), (1, NC))
    without_small_core = row((4, ED), (2, NC), (1, ET), (3, ED), (1, 0))
    np.testing.assert_array_equal(tissues(keep_largest(masks(label), Region.TC)), without_small_core)
    np.testing.assert_array_equal(tissues(keep_largest(masks(label), Region.WT)), label)  # one component


def test_corners_connect() -> None:
    label = np.zeros((2, 2, 2), dtype=np.uint8)
    label[0, 0, 0] = label[1, 1, 1] = ED
    np.testing.assert_array_equal(tissues(keep_largest(masks(label), Region.WT)), label)
    np.testing.assert_array_equal(tissues(small_components(masks(label), fewer_than=2)), label)
    assert not small_components(masks(label), fewer_than=3).any()


def test_masks_one_voxel_thick() -> None:
    """cc3d gives up on some of these without a rim."""
    rng = np.random.default_rng(0)
    for _ in range(500):
        shape = rng.permutation([1, int(rng.integers(1, 3)), int(rng.integers(1, 9))])
        label = np.where(rng.random(shape) < rng.choice([0.3, 0.7]), ED, 0).astype(np.uint8)
        components, _ = ndimage.label(label, structure=EVERYWHERE)
        sizes = np.bincount(components.ravel())
        largest = label * (sizes[components] == sizes[1:].max(initial=0))
        np.testing.assert_array_equal(tissues(keep_largest(masks(label), Region.WT)), largest)


@pytest.mark.parametrize("fewer_than", [1, 5, 130])
def test_small_components_by_slow_flood(fewer_than: int) -> None:
    for seed in range(4):
        label = random_label(seed, density=0.5)
        expected = label.copy()
        for tissue in (NC, ED, ET):
            components, count = ndimage.label(label == tissue, structure=EVERYWHERE)
            for i in range(count):
                if (components == i + 1).sum() < fewer_than:
                    expected[components == i + 1] = 0
        np.testing.assert_array_equal(tissues(small_components(masks(label), fewer_than=fewer_than)), expected)


def test_the_limit_of_components_at_both_sides() -> None:
    label = row((129, ED), (1, 0), (130, ED), (129, NC), (130, ET))
    expected = row((130, 0), (130, ED), (129, 0), (130, ET))
    np.testing.assert_array_equal(tissues(SmallComponents()(masks(label))), expected)


@pytest.mark.parametrize(("et", "changes"), [(0, False), (39, True), (40, False), (41, False)])
def test_the_limit_of_enhancing_tumour_at_both_sides(et: int, changes: bool) -> None:
    """Of 1000 voxels 40 are 0.04, which is not below 0.04."""
    label = row((et, ET), (300, NC), (700 - et, ED))
    after = tissues(low_et_ratio(masks(label), below=0.04))
    np.testing.assert_array_equal(after, row((300 + et, NC), (700 - et, ED)) if changes else label)


@pytest.mark.parametrize(
    ("core", "below", "changes"), [(0, 1.0, False), (1, 1.0, True), (50, 0.5, False), (51, 0.5, True)]
)
def test_the_limit_of_oedema_at_both_sides(core: int, below: float, changes: bool) -> None:
    """With the published 1.0 every tumour with a core loses its oedema, and one of oedema alone keeps it."""
    label = row((core, ET), (100 - core, ED))
    after = tissues(low_ed_ratio(masks(label), below=below))
    np.testing.assert_array_equal(after, row((core, ET), (100 - core, NC)) if changes else label)


def test_core_calls_all_of_the_tumour_core() -> None:
    label = row((2, 0), (3, ED), (2, NC), (1, ET), (2, ED))
    (rule,) = RULE_SETS["core"]
    assert tissues(rule(masks(label))).tolist() == row((2, 0), (5, NC), (1, ET), (2, NC)).tolist()
    assert str(rule) == "ED → NC (TC := WT)"


def test_the_winner_s_rules_in_their_order() -> None:
    """Ratios come first: this ET joins NC before its size is looked at, and the oedema makes a large core of it."""
    label = row((5, ET), (100, NC), (200, ED), (1, 0), (50, ED))
    np.testing.assert_array_equal(tissues(apply_rules(masks(label), RULE_SETS["peds2023"])), row((305, NC), (51, 0)))
    separately = {name: tissues(apply_rules(masks(label), rules)) for name, rules in RULE_SETS.items()}
    np.testing.assert_array_equal(separately["peds2023_et"], row((105, NC), (200, ED), (1, 0), (50, ED)))
    np.testing.assert_array_equal(separately["peds2023_ed"], row((5, ET), (300, NC), (1, 0), (50, NC)))
    np.testing.assert_array_equal(separately["peds2023_components"], row((105, 0), (200, ED), (51, 0)))


def slow_winner(label: NDArray[np.integer]) -> NDArray[np.integer]:
    """The published rules on voxel labels, written for clearness: ratios first, then components of each tissue."""
    result = label.copy()
    tumour = np.count_nonzero(result)
    if tumour and np.count_nonzero(result == ET) < 0.04 * tumour:
        result[result == ET] = NC
    if tumour and np.count_nonzero(result == ED) < tumour:
        result[result == ED] = NC
    for tissue in (NC, ED, ET):
        components, count = ndimage.label(result == tissue, structure=EVERYWHERE)
        for i in range(count):
            if np.count_nonzero(components == i + 1) < 130:
                result[components == i + 1] = 0
    return result


@pytest.mark.exact(
    "Rules of the winner of BraTS-PEDs 2023 in their order: voxels that differ in 60 random label maps of 24³",
    section="Post-processing",
    peer="independent implementation in the tests",
    tolerance=0,
)
def test_the_winner_s_rules_on_random_label_maps(exact: Exact) -> None:
    kinds: set[tuple[str, bool, bool]] = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        smooth = ndimage.gaussian_filter(rng.normal(size=(24, 24, 24)), 2.0)
        tumour = smooth > np.quantile(smooth, rng.choice([0.8, 0.95, 0.99, 0.997]))
        inner = ndimage.gaussian_filter(rng.normal(size=smooth.shape), 1.5)
        cuts = np.quantile(inner, sorted(rng.choice([0.0, 0.02, 0.5, 0.9, 0.98, 1.0], size=2)))
        label = np.where(tumour, np.choose(np.digitize(inner, cuts), [ED, NC, ET]), 0).astype(np.uint8)
        expected = slow_winner(label)
        result = tissues(apply_rules(masks(label), RULE_SETS["peds2023"]))
        exact(np.count_nonzero(result != expected))
        kinds.add(("ET", bool((label == ET).any()), bool((expected == ET).any())))
        kinds.add(("ED", bool((label == ED).any()), bool((expected == ED).any())))
        kinds.add(("all", bool(expected.any()), np.count_nonzero(expected) == np.count_nonzero(label)))
    assert len(kinds) == 8, kinds  # every tissue is absent, goes and stays; some or all of the voxels go


def test_nothing_stays_nothing_and_the_input_stays_as_it_is() -> None:
    rules = [*RULE_SETS["peds2023"], *map(KeepLargest, Region)]
    empty = np.zeros((3, 4, 4, 4), dtype=bool)
    for rule in rules:
        assert not rule(empty).any()
        before = masks(random_label(0))
        copy = before.copy()
        assert rule(before) is not before
        np.testing.assert_array_equal(before, copy)
        assert str(rule)


def test_an_unchanged_voxel_keeps_its_label() -> None:
    """Cysts and non-enhancing core are one tissue here and two labels of BraTS-PEDs 2024."""
    convention = get_convention("brats_ped2024")  # 1 ET, 2 NET, 3 CC, 4 ED
    label = np.array([1, 2, 3, 3, 4, 0], dtype=np.uint8)[None, None]
    before = regions_from_labels(label, convention)
    after = low_ed_ratio(before, below=1.0)
    np.testing.assert_array_equal(relabel(label, before, after, convention)[0, 0], [1, 2, 3, 3, 2, 0])
    gone = keep_largest(before, Region.ET) & False
    np.testing.assert_array_equal(relabel(label, before, gone, convention), np.zeros_like(label))
