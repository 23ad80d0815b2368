"""The paper's Fig. 4: distributions of the scores of a few models, with pairwise tests."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pedseg.reporting.figures.style import REGION_COLOURS, TITLES, boxes, set_scale, wrap
from pedseg.reporting.paper import GROUPS, REGIONS
from pedseg.reporting.rows import Model, pick
from pedseg.reporting.statistics import LEVEL, SMALLEST

MOST_MODELS = 5
TWO_DIGITS = 0.01  # p-values below are told with three digits
HEADROOM = {"dice": 0.105, "hd95_mm": 0.17}  # per bracket: of Dice, and decades of HD95


def models_to_compare(models: Sequence[Model]) -> list[Model]:
    """Choose what fits into the figure: all models if they are few, else those of the paper's Fig. 4 (1*, 2*, 3*, UDA).

    Returns:
        Two to five models, or none if there is no such choice.
    """
    if len(models) <= MOST_MODELS:
        return list(models) if len(models) > 1 else []
    chosen = [model for model in models if model.name in GROUPS["without deep supervision"]]
    return chosen if len(chosen) > 1 else []


def comparison_figure(
    models: Sequence[Model],
    statistics: pd.DataFrame,
    *,
    without: frozenset[str] = frozenset(),
    names: Mapping[str, str] | None = None,
    title: str = "",
) -> Figure:
    """Draw a panel per metric and region with a box per model; brackets join models that differ, with the p-value.

    They differ where the paired t-test, corrected by Holm over all rows of `statistics`, gives p < 0.05.

    Args:
        models: as `models_to_compare` returns them.
        statistics: rows of `pedseg.reporting.statistics.compare_models` for the same cases.
        without: cases to leave out.
        names: short ones by name.
        title: of the figure.
    """
    figure = Figure(figsize=(max(7.5, 3 * (0.62 * len(models) + 0.8)), 7.0), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(len(TITLES), len(REGIONS), sharey="row", sharex=True)
    rng = np.random.default_rng(0)
    for row, metric in zip(panels, TITLES, strict=True):
        brackets = {region: _significant(models, statistics, metric=metric, region=region) for region in REGIONS}
        most = max(map(len, brackets.values()))
        for axis, region in zip(row, REGIONS, strict=True):
            columns = [pick(m.scores, metric, region, without=without).dropna().to_numpy() for m in models]
            boxes(axis, columns, places=range(len(models)), colours=REGION_COLOURS[region], rng=rng)
            set_scale(axis, metric, headroom=most * HEADROOM[metric])
            _draw_brackets(axis, brackets[region], metric=metric)
            below = [wrap((names or {}).get(model.name, model.name)) for model in models]
            texts = [f"{name}\nn = {len(column)}" for name, column in zip(below, columns, strict=True)]
            axis.set_xticks(range(len(models)), texts)
            axis.label_outer()
    for axis, region in zip(panels[0], REGIONS, strict=True):
        axis.set_title(region.upper())
    return figure


def _significant(
    models: Sequence[Model], statistics: pd.DataFrame, *, metric: str, region: str
) -> list[tuple[int, int, str]]:
    """Places of the two models and the p-value of each pair that differs, short brackets first."""
    place = {model.name: number for number, model in enumerate(models)}
    found = []
    for row in statistics.to_dict("records"):
        pair = {row["first"], row["second"]}
        if (row["metric"], row["region"]) == (metric, region) and pair <= set(place) and row["p_t_holm"] < LEVEL:
            left, right = sorted(place[name] for name in pair)
            found.append((left, right, p_text(row["p_t_holm"])))
    return sorted(found, key=lambda bracket: bracket[1] - bracket[0])


def p_text(value: float) -> str:
    """A p-value with the digits that matter."""
    return "p < 0.001" if value < SMALLEST else f"p = {value:.{3 if value < TWO_DIGITS else 2}f}"


def _draw_brackets(axis: Axes, brackets: Sequence[tuple[int, int, str]], *, metric: str) -> None:
    for level, (left, right, text) in enumerate(brackets):
        height = 1.04 + level * HEADROOM["dice"] if metric == "dice" else 440 * 10 ** (level * HEADROOM["hd95_mm"])
        axis.plot([left + 0.06, right - 0.06], [height, height], color="black", linewidth=0.9, clip_on=False)
        axis.annotate(
            text, ((left + right) / 2, height), xytext=(0, 1), textcoords="offset points", ha="center", va="bottom",
            fontsize=7,
        )  # fmt: skip
