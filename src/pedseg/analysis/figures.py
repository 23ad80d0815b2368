"""Pictures of a report: distributions of the scores, and training curves."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pedseg.analysis.models import Model
from pedseg.analysis.paper import REGIONS
from pedseg.files import atomic_path
from pedseg.runs import RunFolder

# Okabe and Ito's colours, which colour-blind readers can tell apart
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#7F7F7F"
REGION_COLOURS = {"et": BLUE, "tc": ORANGE, "wt": GREEN}
TITLES = {"dice": "Dice", "hd95_mm": "HD95 (mm)"}
RESOLUTION = 130
CHANCE = 0.5
FEW_EPOCHS = 20  # so few points get markers

mpl.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "axes.titlesize": 10})


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=RESOLUTION, bbox_inches="tight")


def box_plots(models: Sequence[Model], *, title: str = "", without: frozenset[str] = frozenset()) -> Figure:
    """Dice and HD95 of every model, a box per region; each case is a dot, the triangle is the mean."""
    figure = Figure(figsize=(max(7.0, 1.3 * len(models) + 3.0), 6.4))
    figure.suptitle(title)
    axes = figure.subplots(2, 1, sharex=True)
    rng = np.random.default_rng(0)  # spreads the dots
    for axis, metric in zip(axes, TITLES, strict=True):
        for offset, region in enumerate(REGIONS):
            places = 4 * np.arange(len(models)) + offset
            columns = [_values(model, metric=metric, region=region, without=without) for model in models]
            _boxes(axis, columns, places=places, colour=REGION_COLOURS[region], rng=rng)
        axis.set_ylabel(TITLES[metric])
        axis.grid(axis="y", alpha=0.3)
    axes[0].set_ylim(-0.03, 1.03)
    axes[1].set_yscale("symlog", linthresh=10)
    axes[1].set_ylim(bottom=0)
    axes[1].set_xticks(4 * np.arange(len(models)) + 1, [model.name for model in models])
    handles = [mpl.patches.Patch(color=REGION_COLOURS[region], label=region.upper()) for region in REGIONS]
    figure.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False)
    return figure


def _values(model: Model, *, metric: str, region: str, without: frozenset[str]) -> NDArray[np.float64]:
    rows = model.scores[(model.scores["region"] == region) & ~model.scores["case"].isin(without)]
    return rows[metric].to_numpy(dtype=np.float64)


def _boxes(
    axis: Axes,
    columns: Sequence[NDArray[np.float64]],
    *,
    places: NDArray[np.int64],
    colour: str,
    rng: np.random.Generator,
) -> None:
    drawn = axis.boxplot(
        columns,
        positions=places,
        widths=0.7,
        showfliers=False,
        showmeans=True,
        patch_artist=True,
        medianprops={"color": "black"},
        meanprops={"markerfacecolor": "white", "markeredgecolor": "black", "markersize": 5},
    )
    for box in drawn["boxes"]:
        box.set(facecolor=colour, alpha=0.45)
    for place, column in zip(places, columns, strict=True):
        jitter = rng.uniform(-0.22, 0.22, len(column))
        axis.scatter(place + jitter, column, s=5, color=colour, linewidths=0, alpha=0.8)


def training_curves(run: RunFolder, *, title: str = "") -> Figure:
    """Losses, domain accuracy with alpha, gradients at the split, and source validation Dice over epochs."""
    metrics = pd.read_csv(run.metrics)
    curves = metrics.groupby("epoch").mean(numeric_only=True)
    adapts = "train/domain_accuracy" in curves
    figure = Figure(figsize=(10.5 if adapts else 8.0, 5.4 if adapts else 2.9), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(2 if adapts else 1, 2, squeeze=False)
    _lines(
        panels[0, 0], curves, {"train/loss_seg": ("L_seg, training", BLUE), "val/loss": ("L_seg, validation", ORANGE)}
    )
    panels[0, 0].set_title("segmentation loss (source)")
    names = {f"val/source/dice_{r}": (r.upper(), REGION_COLOURS[r]) for r in REGIONS}
    _lines(panels[0, 1], curves, names)
    panels[0, 1].set(title="pseudo Dice on source validation patches", ylim=(0, 1))
    if adapts:
        _domain_panels(panels[1], curves)
    for axis in panels.flat:
        axis.set_xlabel("epoch")
    return figure


def _domain_panels(panels: Sequence[Axes], curves: pd.DataFrame) -> None:
    accuracy, gradients = panels
    names = {
        "train/domain_accuracy": ("both domains", PURPLE),
        "train/source/domain_accuracy": ("source", BLUE),
        "train/target/domain_accuracy": ("target", ORANGE),
    }
    accuracy.axhline(CHANCE, color=GREY, linestyle=":", linewidth=1)
    _lines(accuracy, curves, names)
    accuracy.set(title="domain accuracy, and alpha (dashed)", ylim=(0, 1.03))
    alpha = accuracy.twinx()
    alpha.plot(curves.index, curves["train/alpha"], color=RED, linestyle="--", linewidth=1.2)
    alpha.set_ylabel("alpha", color=RED)
    alpha.spines["right"].set_visible(True)
    names = {
        "train/gradient_seg": ("of L_seg", BLUE),
        "train/gradient_domain": ("of λ·L_d, reversed", PURPLE),
    }
    _lines(gradients, curves, names)
    gradients.set_title("gradient norms at the classifier's stage")
    gradients.set_yscale("symlog", linthresh=1e-4)
    gradients.set_ylim(bottom=0)


def _lines(axis: Axes, curves: pd.DataFrame, names: dict[str, tuple[str, str]]) -> None:
    for name, (label, colour) in names.items():
        if name in curves and curves[name].notna().any():
            points = curves[name].dropna()
            axis.plot(points.index, points, label=label, color=colour, marker="." if len(points) < FEW_EPOCHS else "")
    axis.grid(alpha=0.3)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=8)
