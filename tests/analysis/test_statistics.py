"""Paired tests against values worked out by hand and by other means."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pedseg.analysis.models import Model
from pedseg.analysis.statistics import compare_models, holm


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
