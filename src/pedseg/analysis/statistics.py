"""Paired comparisons of models on the same cases."""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from pedseg.analysis.models import Model
from pedseg.analysis.paper import REGIONS

MARGINS = {"dice": 0.05, "hd95_mm": 2.0}  # equivalence margins of the TOST, in the metric's unit
RESAMPLES = 5000
FEWEST_CASES = 3


def compare_models(models: Sequence[Model], *, without: frozenset[str] = frozenset(), seed: int = 0) -> pd.DataFrame:
    """Compare every two models, region and metric over the cases both have.

    Args:
        models: two or more.
        without: cases to leave out.
        seed: of the bootstrap.

    Returns:
        A row per pair, metric and region: ``difference`` (mean of first − second) with its 95 % bootstrap interval,
        ``p_t`` (paired t-test, the paper's), ``p_wilcoxon``, both corrected by Holm 1979 over all rows
        (``p_t_holm``, ``p_wilcoxon_holm``), ``p_tost`` (equivalence within `MARGINS`; Schuirmann 1987) and
        ``effect_size`` (Cohen's d of the differences). Pairs with fewer than three common cases are left out.
    """
    rows = []
    for first, second in itertools.combinations(models, 2):
        for metric, region in itertools.product(MARGINS, REGIONS):
            difference = _differences(first, second, metric, region, without)
            if len(difference) >= FEWEST_CASES:
                names = {"first": first.name, "second": second.name, "metric": metric, "region": region}
                rows.append({**names, **_test(difference, margin=MARGINS[metric], seed=seed)})
    table = pd.DataFrame(rows)
    for name in ("p_t", "p_wilcoxon"):
        if len(table):
            table[f"{name}_holm"] = holm(table[name].to_numpy())
    return table


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down correction of a family of p-values."""
    order = np.argsort(p_values)
    scaled = p_values[order] * (len(p_values) - np.arange(len(p_values)))
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return corrected


def _differences(first: Model, second: Model, metric: str, region: str, without: frozenset[str]) -> NDArray[np.float64]:
    series = [m.scores[m.scores["region"] == region].set_index("case")[metric] for m in (first, second)]
    both = pd.concat(series, axis=1, join="inner", keys=["first", "second"])
    both = both[~both.index.isin(without)]
    return (both["first"] - both["second"]).to_numpy(dtype=np.float64)


def _test(difference: NDArray[np.float64], *, margin: float, seed: int) -> dict[str, float]:
    mean, spread = float(difference.mean()), float(difference.std(ddof=1))
    rng = np.random.default_rng(seed)
    resampled = difference[rng.integers(len(difference), size=(RESAMPLES, len(difference)))].mean(axis=1)
    low, high = np.percentile(resampled, [2.5, 97.5])
    result = {"cases": len(difference), "difference": mean, "low": float(low), "high": float(high)}
    if spread == 0:  # identical scores up to a constant: nothing to test
        same = 1.0 if mean == 0 else 0.0
        equivalent = 0.0 if abs(mean) < margin else 1.0
        return {**result, "p_t": same, "p_wilcoxon": same, "p_tost": equivalent, "effect_size": 0.0}
    above = stats.ttest_1samp(difference, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(difference, margin, alternative="less").pvalue
    return {
        **result,
        "p_t": float(stats.ttest_1samp(difference, 0.0).pvalue),
        "p_wilcoxon": float(stats.wilcoxon(difference).pvalue),
        "p_tost": float(max(above, below)),
        "effect_size": mean / spread,
    }
