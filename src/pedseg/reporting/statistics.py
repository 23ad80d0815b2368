"""Paired comparisons of models on the same cases."""

import itertools
import math
import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pedseg.pages.tables import BEST, DASH, Cell, Table, count, number
from pedseg.reporting.paper import REGIONS
from pedseg.reporting.rows import Model, pick

MARGINS = {"dice": 0.05, "hd95_mm": 2.0}  # equivalence margins of the TOST, in the metric's unit
RESAMPLES = 5000
BLOCK = 500  # of them at a time: memory does not grow with their number
INTERVAL = (2.5, 97.5)  # percentiles of the 95 % interval
FEWEST_CASES = 3
CORRECTED = ("p_t", "p_wilcoxon")
MARKED = frozenset({"p_t_holm", "p_wilcoxon_holm"})
METRICS = {"dice": "Dice", "hd95_mm": "HD95"}
LEVEL, SMALLEST = 0.05, 1e-3  # p-values below the first are marked, and below the second not told


def compare_models(
    models: Sequence[Model], *, without: frozenset[str] = frozenset(), population: str = "all cases", seed: int = 0
) -> pd.DataFrame:
    """Compare every two models, region and metric over the cases both have.

    Args:
        models: two or more.
        without: cases to leave out.
        population: what to call the remaining cases.
        seed: of the bootstrap.

    Returns:
        A row per pair, metric and region: ``difference`` (mean of first − second) with its 95 % percentile bootstrap
        interval ``low`` … ``high``, ``p_t`` (paired t-test, the paper's), ``p_wilcoxon`` (signed ranks), both corrected
        by Holm 1979 over all rows (``p_t_holm``, ``p_wilcoxon_holm``), ``p_tost`` (equivalence within ``margin``, two
        one-sided paired t-tests; Schuirmann 1987) and ``effect_size`` (Cohen's d of the differences: mean / standard
        deviation; NaN where they do not vary). Pairs with fewer than three common cases are left out.
    """
    rows = []
    for first, second in itertools.combinations(models, 2):
        for metric, region in itertools.product(MARGINS, REGIONS):
            difference = _differences(first, second, metric, region, without)
            if len(difference) >= FEWEST_CASES:
                names = {"population": population, "first": first.name, "second": second.name}
                tested = compare(difference, margin=MARGINS[metric], seed=seed)
                rows.append({**names, "metric": metric, "region": region, **tested})
    table = pd.DataFrame(rows)
    for name in CORRECTED if len(table) else ():
        table[f"{name}_holm"] = holm(table[name].to_numpy())
    return table


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down correction of a family of p-values."""
    order = np.argsort(p_values)
    scaled = p_values[order] * (len(p_values) - np.arange(len(p_values)))
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return corrected


def compare(difference: NDArray[np.float64], *, margin: float, seed: int = 0) -> dict[str, float]:
    """Test paired differences (N,) against zero, and for equivalence within ± `margin`.

    Returns:
        Columns ``cases`` to ``effect_size`` of `compare_models`.
    """
    from scipy import stats  # noqa: PLC0415  (half a second, where there are models to compare)

    mean, spread = float(difference.mean()), float(difference.std(ddof=1))
    rng = np.random.default_rng(seed)
    size = (BLOCK, len(difference))
    resampled = np.concatenate(
        [difference[rng.integers(len(difference), size=size)].mean(axis=1) for _ in range(RESAMPLES // BLOCK)]
    )
    low, high = np.percentile(resampled, INTERVAL)
    result = {"cases": len(difference), "difference": mean, "low": float(low), "high": float(high), "margin": margin}
    if not difference.any():
        return {**result, "p_t": 1.0, "p_wilcoxon": 1.0, "p_tost": 0.0, "effect_size": 0.0}
    with warnings.catch_warnings():  # few cases and ties, or differences that hardly vary, which scipy mentions
        warnings.simplefilter("ignore", (UserWarning, RuntimeWarning))
        wilcoxon = float(stats.wilcoxon(difference).pvalue)
        p_t = float(stats.ttest_1samp(difference, 0.0).pvalue)
        above = float(stats.ttest_1samp(difference, -margin, alternative="greater").pvalue)
        below = float(stats.ttest_1samp(difference, margin, alternative="less").pvalue)
    effect = mean / spread if spread else math.nan
    return {**result, "p_t": p_t, "p_wilcoxon": wilcoxon, "p_tost": max(above, below), "effect_size": effect}


def comparisons_table(table: pd.DataFrame, *, caption: str = "") -> Table:
    """Rows of `compare_models` for people; p < 0.05 after the correction is marked."""
    heads = ["cases", "first", "second", "metric", "region", "n", "difference", "95 % interval", "d"]
    heads += ["p", "p Holm", "p Wilcoxon", "p Wilcoxon Holm", "p TOST"]
    return Table("comparisons", caption, heads, [_cells(row) for row in table.to_dict("records")])


def _cells(row: Mapping[Hashable, Any]) -> list[Cell]:
    digits = 3 if row["metric"] == "dice" else 2
    names = (row["population"], row["first"], row["second"], METRICS[row["metric"]], str(row["region"]).upper())
    low, high = (number(row[end], digits, signed=True).text for end in ("low", "high"))
    numbers = [count(row["cases"]), number(row["difference"], digits, signed=True), Cell(f"{low} … {high}", row["low"])]
    return [
        *(Cell(str(name)) for name in names),
        *numbers,
        number(row["effect_size"], 2, signed=True),
        *(_p(row[name], marked=name in MARKED) for name in ("p_t", "p_t_holm", "p_wilcoxon", "p_wilcoxon_holm")),
        _p(row["p_tost"], marked=True),
    ]


def _p(value: float, *, marked: bool) -> Cell:
    if not math.isfinite(value):
        return Cell(DASH)
    text = "< 0.001" if value < SMALLEST else f"{value:.3f}"
    return Cell(text, value, BEST if marked and value < LEVEL else "")


def to_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain Python, for JSON; None where a value is not finite."""
    return [
        {
            str(key): None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in row.items()
        }
        for row in table.to_dict("records")
    ]


def _differences(first: Model, second: Model, metric: str, region: str, without: frozenset[str]) -> NDArray[np.float64]:
    both = pd.concat([pick(m.scores, metric, region, without=without) for m in (first, second)], axis=1, join="inner")
    return (both.iloc[:, 0] - both.iloc[:, 1]).dropna().to_numpy(dtype=np.float64)
