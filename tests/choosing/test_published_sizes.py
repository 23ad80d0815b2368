"""The distance of predicted sizes to published ones, by hand, and the published ones themselves."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pedseg.choosing.published_sizes import PROBABILITIES, Volumes, nested_volumes, quantiles
from pedseg.choosing.published_sizes import published_sizes as sizes_of
from pedseg.reporting.sizes import read_sizes
from pedseg.settings.population import load_population
from tests.exactness import Exact

CHILDREN = load_population("brats_peds2023")
WT_MM3 = quantiles(CHILDREN.volume_mm3.wt)
TC_OF_WT, ET_OF_WT = quantiles(CHILDREN.share_of_wt.tc), quantiles(CHILDREN.share_of_wt.et)

TC_GAP = (0.487 + 0.944 + 3) / 5  # of a ratio of 0 everywhere
ET_GAP = (0.008 + 0.113 + 0.255 + 0.548) / 5


def published_sizes(cases: Sequence[Volumes]) -> float:
    return sizes_of(cases, CHILDREN)


def far(mm3: float) -> float:
    """Mean distance in decades of a WT that is the same in all cases."""
    return sum(abs(math.log10(mm3) - math.log10(v)) for v in (11604, 22904, 39908, 77847, 154841)) / 5


def test_the_same_prediction_everywhere() -> None:
    nothing = published_sizes([(0.0, 0.0, 0.0)] * 3)
    assert nothing == pytest.approx(-(far(1000) + TC_GAP + ET_GAP) / 3)
    assert published_sizes([(999.0, 0.0, 0.0)]) == nothing  # less than a cubic centimetre counts as one
    # TC/WT of 0.944 misses by 0.457, 0 and three times 0.056; ET/WT of 0.255 by 0.255, 0.247, 0.142, 0 and 0.293.
    one = published_sizes([(40000.0, 0.944 * 40000, 0.255 * 40000)])
    assert one == pytest.approx(-(far(40000) + (0.457 + 3 * 0.056) / 5 + (0.255 + 0.247 + 0.142 + 0.293) / 5) / 3)


def test_a_tenfold_tumour_is_a_third_worse() -> None:
    """All quantiles are one decade too large and the ratios stay."""
    cases = at_quantiles(1.0)
    assert published_sizes(cases) == pytest.approx(0, abs=1e-12)
    assert published_sizes(cases[::-1]) == published_sizes(cases)
    assert published_sizes(at_quantiles(10.0)) == pytest.approx(-1 / 3)


def at_quantiles(factor: float) -> list[Volumes]:
    """21 cases whose 2nd, 6th, 11th, 16th and 20th are the published quantiles, times `factor` in size."""
    place = np.linspace(0, 1, 21)
    whole = factor * 10 ** np.interp(place, PROBABILITIES, np.log10(WT_MM3))
    core, enhancing = (whole * np.interp(place, PROBABILITIES, values) for values in (TC_OF_WT, ET_OF_WT))
    return [(float(a), float(b), float(c)) for a, b, c in zip(whole, core, enhancing, strict=True)]


def test_quantiles_are_between_cases() -> None:
    """Of WT 10⁴ and 10⁵ the decades at 5, 25, 50, 75 and 95 % are 4.05, 4.25, 4.5, 4.75 and 4.95."""
    decades = (4.05, 4.25, 4.5, 4.75, 4.95)
    whole = sum(abs(a - math.log10(b)) for a, b in zip(decades, WT_MM3, strict=True)) / 5
    assert published_sizes([(1e5, 0, 0), (1e4, 0, 0)]) == pytest.approx(-(whole + TC_GAP + ET_GAP) / 3)


def test_a_part_outside_the_whole_belongs_to_it() -> None:
    rows = ("11100000", "00110000", "00000001")
    masks = np.array([[int(c) for c in row] for row in rows], dtype=bool)[:, None, None]
    assert nested_volumes(masks, (2.0, 1.0, 1.5)) == (5 * 3.0, 3 * 3.0, 3.0)
    assert nested_volumes(np.zeros((3, 2, 2, 2), dtype=bool), (1.0, 1.0, 1.0)) == (0.0, 0.0, 0.0)


@pytest.mark.exact(
    "Quantiles 5-95 % of log10 WT, TC/WT and ET/WT of 99 children, as rounded in the validator of published sizes",
    section="Published results",
    peer="sizes of Fu et al.",
    tolerance=6e-4,
)
def test_the_published_sizes(shared: Path, exact: Exact) -> None:
    sizes = read_sizes([shared / "reference" / "ped_tumor_sizes.csv"])[["et", "nc", "ed"]].to_numpy(dtype=float)
    whole = sizes.sum(axis=1)
    assert len(whole) == 99
    core, enhancing = sizes[:, :2].sum(axis=1), sizes[:, 0]
    for values, rounded in (
        (np.log10(whole), np.log10(WT_MM3)),
        (core / whole, TC_OF_WT),
        (enhancing / whole, ET_OF_WT),
    ):
        exact(float(np.abs(np.quantile(values, PROBABILITIES) - rounded).max()))
