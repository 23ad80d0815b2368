"""Picture of an adversary's health: domain accuracies and α, λ·L_d, gradient ratio and source Dice over the epochs."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pedseg.health import CHANCE, Epoch, Thresholds
from pedseg.reporting.adversary import Watched
from pedseg.reporting.figures.style import ADVERSARY, GREY, SOURCE, TARGET

PANEL_OF = {  # where a finding is marked
    "weak classifier": 0,
    "collapse": 0,
    "undisturbed": 0,
    "L_d at chance": 1,
    "vanishing gradient": 2,
    "dominating gradient": 2,
    "source Dice falls": 3,
}
HEADROOM = 1.2  # of the accuracies, for the legend
FEW_EPOCHS = 40  # so few points get markers
LIMITS = Thresholds()


def adversary_figure(runs: Sequence[Watched], *, title: str = "") -> Figure:
    """Draw the runs of one model, the folds as thin lines below their mean; findings are marked where they came.

    Epochs are counted from 1, as in the log.

    Args:
        runs: one or more.
        title: of the figure.
    """
    figure = Figure(figsize=(10.4, 6.2), layout="constrained")
    figure.suptitle(title)
    panels = list(figure.subplots(2, 2, sharex=True).flat)
    _accuracy(panels[0], runs)
    _loss(panels[1], runs)
    _ratio(panels[2], runs)
    _dice(panels[3], runs)
    longest = max(epoch.number for run in runs for epoch in run.epochs) + 1
    for axis in panels:
        axis.grid(visible=True)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_xlim(0.5, longest + 0.5)
    for axis in panels[2:]:
        axis.set_xlabel("epoch")
    _mark(panels, runs)
    return figure


def _accuracy(axis: Axes, runs: Sequence[Watched]) -> None:
    axis.axhline(0.5, color=GREY, linestyle=":", linewidth=1.2)
    axis.text(0.01, 0.49, "chance", transform=axis.get_yaxis_transform(), va="top", color=GREY, size=8)
    _draw(axis, runs, lambda epoch: epoch.accuracy_source, colour=SOURCE, label="source")
    _draw(axis, runs, lambda epoch: epoch.accuracy_target, colour=TARGET, label="target")
    axis.set(title="Domain accuracy and α", ylim=(-0.02, HEADROOM), yticks=np.linspace(0, 1, 6), ylabel="accuracy")
    strength = axis.twinx()
    _draw(strength, runs, lambda epoch: epoch.alpha, colour=GREY, label="α (right)", style="--")
    top = max((epoch.alpha for run in runs for epoch in run.epochs if epoch.alpha > 0), default=1.0)
    strength.set(ylim=(-0.02 * top, HEADROOM * top), yticks=[0, top / 2, top])
    strength.set_ylabel("α", color=GREY)
    strength.tick_params(axis="y", colors=GREY)
    strength.spines["right"].set(visible=True, color=GREY)
    handles = [*axis.get_legend_handles_labels()[0], *strength.get_legend_handles_labels()[0]]
    axis.legend(handles=handles, loc="upper center", ncols=3)


def _loss(axis: Axes, runs: Sequence[Watched]) -> None:
    weight = runs[0].weight
    _draw(axis, runs, lambda epoch: epoch.loss_domain * (1.0 if weight is None else weight), colour=ADVERSARY)
    chance = CHANCE if weight is None else weight * CHANCE
    axis.axhline(chance, color=GREY, linestyle=":", linewidth=1.2)
    text = "chance: ln 2" if weight is None else "chance: λ ln 2"
    axis.text(0.99, chance, text, transform=axis.get_yaxis_transform(), va="bottom", ha="right", color=GREY, size=8)
    title = "L_d" if weight is None else f"λ·L_d, λ = {weight:g}"
    axis.set(title=title, ylabel="nats", ylim=(0, 1.12 * max(axis.get_ylim()[1], chance)))


def _ratio(axis: Axes, runs: Sequence[Watched]) -> None:
    ratios = [epoch.gradient_ratio for run in runs for epoch in run.epochs]
    bottom = min([ratio for ratio in ratios if ratio > 0] + [LIMITS.vanishing]) / 3  # where a ratio of 0 is drawn
    _draw(axis, runs, lambda epoch: float(np.maximum(epoch.gradient_ratio, bottom)), colour=ADVERSARY)
    zero = [epoch.number + 1 for run in runs for epoch in run.epochs if epoch.gradient_ratio == 0]
    if zero:
        axis.plot(zero, [bottom] * len(zero), "v", color=ADVERSARY, markersize=5, label="0")
        axis.legend(loc="lower left")
    axis.set_yscale("log")
    low, high = bottom / 2, max(axis.get_ylim()[1], 3 * LIMITS.dominating)
    axis.set_ylim(low, high)
    axis.axhspan(LIMITS.dominating, high, color=GREY, alpha=0.15, linewidth=0)
    axis.axhspan(low, LIMITS.vanishing, color=GREY, alpha=0.15, linewidth=0)
    place: dict[str, Any] = {"transform": axis.get_yaxis_transform(), "color": GREY, "size": 8}
    axis.text(0.01, LIMITS.dominating * 1.15, "dominates", va="bottom", **place)
    axis.text(0.01, LIMITS.vanishing * 1.15, "vanishes (at the final α)", va="bottom", **place)
    axis.set(title="Gradients at the split: reversed / other", ylabel="ratio of norms")


def _dice(axis: Axes, runs: Sequence[Watched]) -> None:
    _draw(axis, runs, lambda epoch: epoch.source_dice, colour=SOURCE)
    axis.set(title="Source validation Dice, mean of regions", ylim=(-0.02, 1.04), ylabel="Dice of patches")


def _draw(
    axis: Axes,
    runs: Sequence[Watched],
    value: Callable[[Epoch], float],
    *,
    colour: str,
    label: str = "",
    style: str = "-",
) -> None:
    """Plot a value of every run, and the mean over runs where there are several."""
    lines = [_points(run, value) for run in runs]
    if len(lines) == 1:
        marker = "." if len(lines[0]) < FEW_EPOCHS else ""
        axis.plot(*lines[0].T, color=colour, label=label, linestyle=style, marker=marker)
        return
    for line in lines:
        axis.plot(*line.T, color=colour, linestyle=style, linewidth=0.7, alpha=0.45)
    numbers = sorted({x for line in lines for x in line[:, 0]})
    at = [np.concatenate([line[line[:, 0] == x, 1] for line in lines]) for x in numbers]
    axis.plot(numbers, [values.mean() for values in at], color=colour, label=label, linestyle=style, linewidth=1.8)


def _points(run: Watched, value: Callable[[Epoch], float]) -> NDArray[np.float64]:
    """Epochs counted from 1 and finite values, (n, 2)."""
    pairs = [(epoch.number + 1, value(epoch)) for epoch in run.epochs]
    return np.array([pair for pair in pairs if math.isfinite(pair[1])], dtype=np.float64).reshape(-1, 2)


def _mark(panels: Sequence[Axes], runs: Sequence[Watched]) -> None:
    """Mark where each rule spoke first."""
    first: dict[str, int] = {}
    for finding in (finding for run in runs for finding in run.findings):
        first[finding.rule] = min(finding.epoch + 1, first.get(finding.rule, finding.epoch + 1))
    for rule, epoch in first.items():
        axis = panels[PANEL_OF[rule]]
        axis.axvline(epoch, color="black", linewidth=1.0, linestyle="-.")
        axis.annotate(
            rule, (epoch, 0.03), xycoords=axis.get_xaxis_transform(), xytext=(-3, 0), textcoords="offset points",
            rotation=90, va="bottom", ha="right", size=8, weight="bold", zorder=5,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5},
        )  # fmt: skip
