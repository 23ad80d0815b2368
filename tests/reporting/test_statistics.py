"""Paired tests against values worked out by hand and by other means."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pedseg.reporting.rows import Model
from pedseg.reporting.statistics import compare, compare_models, holm, to_records


def model(name: str, dice: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Model:
    rows = [
        {"case": f"c{i}", "region": region, "dice": value, "hd95_mm": 1.0}
        for i, value in enumerate(dice)
        for region in ("wt", "tc", "et")
    ]
    return Model(name, pd.DataFrame(rows))


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.5])) == pytest.approx([0.04, 0.09, 0.09, 0.5])


def test_a_clear_difference() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.uniform(0.6, 0.8, 30), rng.uniform(0.3, 0.5, 30)
    row = compare_models([model("a", first), model("b", second)]).iloc[0]
    assert row["difference"] == pytest.approx((first - second).mean())
    assert row["low"] < row["difference"] < row["high"]
    assert row["p_t"] == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert row["p_wilcoxon"] == pytest.approx(stats.wilcoxon(first, second).pvalue)
    assert row["p_tost"] > 0.99
    assert row["p_t_holm"] >= row["p_t"]


def test_equivalence_is_shown_by_the_tost_and_not_by_a_large_p() -> None:
    rng = np.random.default_rng(1)
    base = rng.uniform(0.5, 0.9, 60)
    near = compare_models([model("a", base), model("b", base + rng.normal(0, 0.01, 60))]).iloc[0]
    assert near["p_tost"] < 0.01
    few = compare_models([model("a", base[:4]), model("b", base[:4] + np.array([0.2, -0.2, 0.15, -0.1]))]).iloc[0]
    assert few["p_t"] > 0.5
    assert few["p_tost"] > 0.05


def test_identical_scores_and_few_cases() -> None:
    base = np.array([0.1, 0.2, 0.3])
    table = compare_models([model("a", base), model("b", base)])
    assert set(table["p_t"]) == {1.0}
    assert set(table["p_tost"]) == {0.0}
    assert not len(compare_models([model("a", base[:2]), model("b", base[:2])]))


def test_columns_by_hand() -> None:
    difference = np.array([0.02, 0.04, -0.01, 0.03])
    row = compare(difference, margin=0.05)
    mean, error = 0.02, difference.std(ddof=1) / 2
    assert row["effect_size"] == pytest.approx(mean / difference.std(ddof=1))
    assert row["p_t"] == pytest.approx(2 * stats.t.sf(mean / error, df=3))
    assert row["p_tost"] == pytest.approx(stats.t.sf((0.05 - mean) / error, df=3))
    assert row["p_wilcoxon"] == pytest.approx(0.25)  # ranks 2, 4, -1, 3: 4 of the 16 sign patterns are as extreme
    assert compare(difference, margin=0.05) == row  # the bootstrap is seeded


def test_bootstrap_interval_is_close_to_the_normal_one() -> None:
    difference = np.random.default_rng(0).normal(0.1, 1.0, 400)
    row = compare(difference, margin=1.0)
    half = 1.96 * difference.std(ddof=1) / 20
    assert (row["low"], row["high"]) == pytest.approx((difference.mean() - half, difference.mean() + half), abs=0.01)


def test_a_constant_difference_has_no_effect_size() -> None:
    row = compare(np.full(5, 0.5), margin=0.05)
    assert np.isnan(row["effect_size"])
    assert (row["p_t"], row["p_tost"], row["p_wilcoxon"]) == (0.0, 1.0, 0.0625)
    assert to_records(pd.DataFrame([row]))[0]["effect_size"] is None


def test_only_common_cases_with_scores_are_compared() -> None:
    first, second = model("a", np.arange(6.0) / 10), model("b", np.arange(5.0) / 5)
    second.scores.loc[second.scores["case"] == "c1", "dice"] = np.nan
    table = compare_models([first, second], without=frozenset({"c0"}), population="some")
    assert set(table.loc[table["metric"] == "dice", "cases"]) == {3}
    assert set(table.loc[table["metric"] == "hd95_mm", "cases"]) == {4}
    assert set(table["population"]) == {"some"}
