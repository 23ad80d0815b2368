"""Drawn sizes against the published ones."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from pedseg.labels import Region
from pedseg.phantom.sizes import Quantiles, draw_sizes, kolmogorov_smirnov, size_model, uniform_draws

LEVELS = [5, 25, 50, 75, 95]
POPULATIONS = {"adult": "brats_adults", "ped": "brats_peds2023"}


def draw(cohort: str, *, cases: int, seed: int = 0) -> pd.DataFrame:
    model = size_model(POPULATIONS[cohort])
    sizes = [draw_sizes(model, uniform_draws(cohort=cohort, seed=seed, index=i)) for i in range(cases)]
    return pd.DataFrame([{"wt": s.wt, "tc": s.tc, "et": s.et} for s in sizes])


@pytest.mark.parametrize("cohort", ["adult", "ped"])
def test_regions_are_nested(cohort: str) -> None:
    table = draw(cohort, cases=2000)
    assert (table.wt >= table.tc).all()
    assert (table.tc >= table.et).all()
    assert (table.tc > 0).all()


def test_children_have_the_published_quantiles_and_absences() -> None:
    table = draw("ped", cases=3000)
    assert np.percentile(table.wt, LEVELS) == pytest.approx([11604, 22904, 39908, 77847, 154841], rel=0.08)
    assert np.percentile(table.tc, LEVELS) == pytest.approx([11604, 22314, 36094, 63538, 120691], rel=0.15)
    assert np.percentile(table.et / table.wt, LEVELS)[2:] == pytest.approx([0.113, 0.255, 0.548], rel=0.1)
    assert (table.et < 0.5).mean() == pytest.approx(11 / 99, abs=0.02)
    assert (table.et < 60).mean() == pytest.approx(22 / 99, abs=0.03)
    assert (table.wt - table.tc < 0.5).mean() == pytest.approx(42 / 99, abs=0.03)


def test_adults_have_the_published_quantiles_and_absences() -> None:
    table = draw("adult", cases=3000)
    assert np.percentile(table.wt, LEVELS) == pytest.approx([27846, 48189, 86850, 162474, 225565], rel=0.08)
    assert np.percentile(table.tc / table.wt, LEVELS) == pytest.approx([0.03, 0.12, 0.38, 0.5, 0.82], rel=0.08)
    assert (table.et < 0.5).mean() == pytest.approx(33 / 1251, abs=0.02)
    assert (table.wt - table.tc < 0.5).mean() < 0.01


def test_children_agree_with_the_99_published_cases(shared: Path) -> None:
    published = pd.read_csv(shared / "reference" / "ped_tumor_sizes.csv").drop_duplicates(["ID", "Region"])
    table = draw("ped", cases=1000)
    for region in Region:
        sizes = published.loc[published.Region == region.upper(), "Number of voxels"]
        assert len(sizes) == 99
        test = ks_2samp(sizes, table[region].round())
        assert test.statistic < 0.09, region
        assert test.pvalue > 0.3, region


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("cohort", ["adult", "ped"])
def test_twenty_cases_already_spread_over_the_distribution(cohort: str, seed: int) -> None:
    table = draw(cohort, cases=20, seed=seed)
    assert kolmogorov_smirnov(table.wt.to_numpy(), size_model(POPULATIONS[cohort]).published[Region.WT]) < 0.13


def test_distance_by_hand() -> None:
    published = Quantiles((0.2, 0.6, 1.0), (1.0, np.e, np.e**2))
    assert published.at(0.1) == 0
    assert published.at(0.8) == pytest.approx(np.e**1.5)
    assert published.below(np.array([0.0, 0.5, np.e, 100.0])) == pytest.approx([0.2, 0.2, 0.6, 1.0])
    assert kolmogorov_smirnov([0.0], published) == pytest.approx(0.8)  # all of it at 0, where a fifth should be
    assert kolmogorov_smirnov([np.e], published) == pytest.approx(0.6)
    assert kolmogorov_smirnov([0, np.e, np.e, np.e**2, np.e**2], published) == pytest.approx(0.4)
