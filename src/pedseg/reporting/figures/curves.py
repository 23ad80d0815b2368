"""Training curves of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pedseg.pages.document import Picture
from pedseg.reporting.figures.style import ADVERSARY, BLACK, GREY, REGION_COLOURS, SOURCE, TARGET, save
from pedseg.reporting.paper import REGIONS
from pedseg.reporting.training_log import read_curves
from pedseg.runs import RunFolder

CHANCE = 0.5
FEW_EPOCHS = 40  # so few points get markers


def draw_curves_of(run: RunFolder, path: Path, *, title: str) -> Picture:
    """Draw the training curves of a run into files named `path`, with their data.

    Raises:
        PedsegError: metrics.csv of the run cannot be read.
    """
    curves = read_curves(run)
    return save(
        training_curves(curves, title=title),
        path,
        caption=f"Training of {title}, {len(curves)} epochs.",
        data=curves.rename_axis("epoch").reset_index(),
    )


def training_curves(curves: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw losses, source validation Dice, learning rate, and, of an adapting run, domain accuracy, α and gradients.

    Args:
        curves: as `pedseg.reporting.training_log.read_curves` returns them.
        title: of the figure.
    """
    adapts = _known(curves, "train/domain_accuracy")
    figure = Figure(figsize=(11, 5.6 if adapts else 2.9), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(2 if adapts else 1, 3, squeeze=False)
    _segmentation_panels(panels[0], curves)
    if adapts:
        _domain_panels(panels[1], curves)
    for axis in panels.flat:
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(curves) == 1:
            axis.set_xlim(curves.index[0] - 0.5, curves.index[0] + 0.5)
    return figure


def _segmentation_panels(panels: Sequence[Axes], curves: pd.DataFrame) -> None:
    losses, dice, rate = panels
    names = {
        "train/loss_seg": ("training, L_seg", BLACK),
        "train/loss": ("training, L_seg + λ·L_d", ADVERSARY),
        "val/loss": ("source validation, L_seg", GREY),
    }
    if not _known(curves, "train/loss_domain"):  # then the total is L_seg
        del names["train/loss"]
    _lines(losses, curves, names)
    losses.set_title("Segmentation loss")
    regions = {f"val/source/dice_{r}": (r.upper(), REGION_COLOURS[r]) for r in REGIONS}
    _lines(dice, curves, {**regions, "val/source/dice_ema": ("mean, smoothed", GREY)})
    dice.set(title="Source validation Dice (patches)", ylim=(0, 1.12), yticks=np.linspace(0, 1, 6))
    dice.legend(loc="upper center", ncols=4, columnspacing=1.0, handlelength=1.2)
    _lines(rate, curves, {"train/learning_rate": ("", BLACK)})
    rate.set(title="Learning rate", ylim=(0, None))


def _domain_panels(panels: Sequence[Axes], curves: pd.DataFrame) -> None:
    accuracy, loss, gradients = panels
    accuracy.axhline(CHANCE, color=GREY, linestyle=":", linewidth=1.2)
    names = {
        "train/source/domain_accuracy": ("source", SOURCE),
        "train/target/domain_accuracy": ("target", TARGET),
        "train/domain_accuracy": ("both", GREY),
    }
    _lines(accuracy, curves, names, alpha_axis=True)
    accuracy.text(
        0.01, CHANCE - 0.015, "chance", transform=accuracy.get_yaxis_transform(), va="top", color=GREY, size=8
    )
    accuracy.set(title="Domain accuracy", ylim=(0, 1.03))
    _lines(loss, curves, {"train/loss_domain": ("L_d", ADVERSARY)}, alpha_axis=True)
    loss.axhline(np.log(2), color=GREY, linestyle=":", linewidth=1.2)
    loss.text(0.5, np.log(2), "chance (ln 2)", transform=loss.get_yaxis_transform(), va="bottom", color=GREY, size=8)
    loss.set(title="Domain loss", ylim=(0, 1.12 * max(loss.get_ylim()[1], np.log(2))))
    names = {"train/gradient_seg": ("of L_seg", BLACK), "train/gradient_domain": ("of λ·L_d, reversed", ADVERSARY)}
    _lines(gradients, curves, names)
    gradients.set_title("Gradient norm at the split")
    positive = curves[[name for name in names if _known(curves, name)]]
    if (positive > 0).any(axis=None):
        gradients.set_yscale("symlog", linthresh=float(np.nanmin(positive[positive > 0].to_numpy())))
    gradients.set_ylim(bottom=0)


def _lines(axis: Axes, curves: pd.DataFrame, names: Mapping[str, tuple[str, str]], *, alpha_axis: bool = False) -> None:
    """Plot the columns that are there, with a legend if there is more than one line, and α on a second axis."""
    for name, (label, colour) in names.items():
        if _known(curves, name):
            points = curves[name].dropna()
            marker = "." if len(points) < FEW_EPOCHS else ""
            style = "--" if name == "train/loss" else "-"  # lies close to L_seg
            axis.plot(points.index, points, label=label, color=colour, marker=marker, linestyle=style)
    axis.grid(visible=True)
    handles = axis.get_legend_handles_labels()[0]
    if alpha_axis and _known(curves, "train/alpha"):
        alpha = axis.twinx()
        points = curves["train/alpha"].dropna()
        handles += alpha.plot(points.index, points, color=GREY, linestyle="--", label="α (right)")
        alpha.set_ylabel("α", color=GREY)
        alpha.tick_params(axis="y", colors=GREY)
        alpha.set_ylim(0, 1.05 * (float(points.max()) or 1.0))
        alpha.spines["right"].set(visible=True, color=GREY)
    if len(handles) > 1:
        axis.legend(handles=handles, loc="lower right" if alpha_axis else "best")


def _known(curves: pd.DataFrame, name: str) -> bool:
    return name in curves and bool(curves[name].notna().any())
