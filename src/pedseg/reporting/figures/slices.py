"""Best, median and worst case of a model: label and prediction on the images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from pedseg.cases import Case
from pedseg.errors import PedsegError
from pedseg.imaging import read_label, read_volume
from pedseg.labels import LabelConvention, Modality, Region, regions_from_labels
from pedseg.reporting.figures.style import REGION_COLOURS
from pedseg.reporting.rows import Model

SHOWN = (Modality.T1C, Modality.T2F)
NAMES = {Modality.T1C: "T1 with contrast", Modality.T2F: "FLAIR"}
MARGIN_MM = 3.0  # kept around the brain
WINDOW = (1.0, 99.5)  # percentiles of the intensities inside the brain that become black and white
COLUMN_INCHES = 2.3
LINE_WIDTHS = {Region.WT: 2.2, Region.TC: 1.5, Region.ET: 0.9}  # outlines that coincide stay visible


def choose_cases(scores: pd.DataFrame) -> dict[str, str]:
    """Best, median and worst case by the mean Dice of the three regions; fewer if there are fewer cases."""
    ranked = scores.groupby("case")["dice"].mean().dropna().sort_values(ascending=False, kind="stable")
    places = {"best": 0, "worst": len(ranked) - 1, "median": len(ranked) // 2}
    chosen: dict[str, str] = {}
    for name, place in places.items() if len(ranked) else ():
        if ranked.index[place] not in chosen.values():
            chosen[name] = str(ranked.index[place])
    return {name: chosen[name] for name in ("best", "median", "worst") if name in chosen}


def slice_figure(
    model: Model,
    cases: Mapping[str, Case],
    predictions: Mapping[str, Path],
    *,
    convention: LabelConvention,
    title: str,
) -> Figure | None:
    """Draw the chosen cases, one per row: T1c and FLAIR with the label's outlines beside the prediction's.

    The slice is the axial one with most tumour in the label (in the prediction where there is no label), seen from
    below as radiologists do: the patient's right is on the left.

    Args:
        model: whose scores choose the cases.
        cases: images and labels by case id.
        predictions: label maps by case id.
        convention: of labels and predictions.
        title: of the figure.

    Returns:
        None if no chosen case has both images and a prediction.

    Raises:
        PedsegError: a file cannot be read, or images, label and prediction of a case differ in shape.
    """
    chosen = {k: c for k, c in choose_cases(model.scores).items() if c in cases and c in predictions}
    if not chosen:
        return None
    size = (COLUMN_INCHES * 2 * len(SHOWN) + 0.8, 2.8 * len(chosen) + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(len(chosen), 2 * len(SHOWN), squeeze=False)
    dice = model.scores.set_index(["case", "region"])["dice"].to_dict()
    for row, (place, case_id) in zip(axes, chosen.items(), strict=True):
        _draw_case(row, cases[case_id], predictions[case_id], convention)
        values = "  ".join(f"{r.upper()} {dice.get((case_id, r), np.nan):.2f}" for r in ("et", "tc", "wt"))
        row[0].set_ylabel(f"{place}: {case_id}\nDice  {values}", fontsize=8)
    for axis, text in zip(axes[0], [f"{NAMES[m]}\n{w}" for m in SHOWN for w in ("label", "prediction")], strict=True):
        axis.set_title(text, fontweight="normal")
    lines = [Line2D([], [], color=REGION_COLOURS[r], label=r.upper(), linewidth=2) for r in ("et", "tc", "wt")]
    figure.legend(handles=lines, loc="outside lower center", ncols=3)
    return figure


def _draw_case(row: Sequence[Axes], case: Case, prediction: Path, convention: LabelConvention) -> None:
    images = {m: read_volume(case.images[list(Modality).index(m)]) for m in SHOWN}
    predicted = _regions(prediction, convention, like=images[SHOWN[0]].data)
    label = _regions(case.label, convention, like=predicted[0]) if case.label else None
    guide = label[0] if label is not None and label[0].any() else predicted[0]
    depth = int(guide.sum(axis=(1, 2)).argmax()) if guide.any() else guide.shape[0] // 2
    volume = images[SHOWN[0]]
    spacing = volume.spacing_mm[1:]
    # Rows run to the back and columns to the patient's left; the world's axes (RAS) point the other way.
    flips = tuple(slice(None, None, -1) if volume.affine[axis, axis] > 0 else slice(None) for axis in (1, 0))
    window = _field_of_view(volume.data[depth][flips], spacing)
    for number, image in enumerate(images.values()):
        for axis, regions in ((row[2 * number], label), (row[2 * number + 1], predicted)):
            masks = None if regions is None else regions[:, depth][:, *flips]
            _draw_slice(axis, image.data[depth][flips], masks, spacing)
            if masks is None:
                axis.text(0.5, 0.5, "no label", transform=axis.transAxes, ha="center", color="white")
            axis.set_xlim(*window[0])
            axis.set_ylim(*window[1])


def _regions(path: Path, convention: LabelConvention, *, like: NDArray[np.generic]) -> NDArray[np.bool_]:
    label = read_label(path)
    if label.shape != like.shape:
        raise PedsegError(f"{path}: has shape {label.shape[::-1]}, its images {like.shape[::-1]}; give --images of it")
    return regions_from_labels(label, convention)


def _field_of_view(
    image: NDArray[np.generic], spacing: Sequence[float]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits of x and y (pointing down) that frame what is not zero."""
    rows, columns = np.nonzero(image)
    if not len(rows):
        return (-0.5, image.shape[1] - 0.5), (image.shape[0] - 0.5, -0.5)
    down, across = (MARGIN_MM / size + 0.5 for size in spacing)
    return (columns.min() - across, columns.max() + across), (rows.max() + down, rows.min() - down)


def _draw_slice(
    axis: Axes, image: NDArray[np.generic], regions: NDArray[np.bool_] | None, spacing: Sequence[float]
) -> None:
    inside = image[image != 0]
    low, high = np.percentile(inside, WINDOW) if len(inside) else (0, 1)
    axis.set_facecolor("black")
    axis.imshow(image, cmap="gray", vmin=low, vmax=high, aspect=spacing[0] / spacing[1])
    for region, mask in zip(Region, regions if regions is not None else (), strict=False):
        if mask.any():
            colours, width = [REGION_COLOURS[region.value]], LINE_WIDTHS[region]
            axis.contour(mask.astype(float), levels=[0.5], colors=colours, linewidths=width)
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set_visible(False)
