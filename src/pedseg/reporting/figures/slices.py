"""Best, median and worst case of a model: label, prediction and errors on three planes of the images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from pedseg.cases import Case
from pedseg.ignored import judged
from pedseg.imaging import read_volume
from pedseg.imaging.geometry import upright
from pedseg.imaging.integrity import read_label_onto, read_onto
from pedseg.labels import LabelConvention, Modality, Region, masks_from_labels
from pedseg.metrics import error_map
from pedseg.reporting.figures.style import ERROR_COLOURS, REGION_COLOURS
from pedseg.reporting.rows import Model

OUTLINED, MAPPED = Modality.T1C, Modality.T2F  # below outlines, and below the errors
NAMES = {Modality.T1C: "T1 with contrast", Modality.T2F: "FLAIR"}
MARGIN_MM = 3.0  # kept around the brain
WINDOW = (1.0, 99.5)  # percentiles of the intensities inside the brain that become black and white
PANEL_INCHES = 1.75
BAR_MM = 50
LINE_WIDTHS = {Region.WT: 1.9, Region.TC: 1.3, Region.ET: 0.8}  # outlines that coincide stay visible
CAPTION = (
    "T1 with contrast with the outlines of the label and of the prediction, and FLAIR with the errors, on the axial, "
    "coronal and sagittal slices with most tumour; the patient's right (R) is on the left; positions in world "
    f"coordinates; the bar is {BAR_MM} mm."
)

PREVIEW = (
    "outlines of the prediction on the axial, coronal and sagittal slices with most of it; the patient's right (R) is "
    f"on the left; positions in world coordinates; the bar is {BAR_MM} mm."
)


class Plane(NamedTuple):
    """A plane of an array whose axes run down, to the back and to the patient's left.

    Attributes:
        name: of the plane.
        axis: that it is cut across.
        world: name of this axis in world coordinates.
        sides: what lies on the left and on the right of the picture.
    """

    name: str
    axis: int
    world: str
    sides: tuple[str, str]


PLANES = (
    Plane("axial", 0, "z", ("R", "L")),
    Plane("coronal", 1, "y", ("R", "L")),
    Plane("sagittal", 2, "x", ("A", "P")),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A case on axes that run down, to the back and to the patient's left.

    Attributes:
        images: (Z, Y, X) by modality.
        predicted: region masks (3, Z, Y, X).
        label: the same; None for a case without one.
        spacing_mm: along these axes.
        places_mm: world coordinate of each slice along each axis.
    """

    images: Mapping[Modality, NDArray[np.generic]]
    predicted: NDArray[np.bool_]
    label: NDArray[np.bool_] | None
    spacing_mm: tuple[float, float, float]
    places_mm: tuple[NDArray[np.float64], ...]


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
    """Draw the chosen cases, one per row: on each plane outlines of label and prediction, and the errors.

    The slices are those with most tumour in the label (in the prediction where there is no label), as radiologists look
    at them: the patient's right is on the left. Where the label ignores voxels, neither side is drawn.

    Args:
        model: whose scores choose the cases.
        cases: images and labels by case id.
        predictions: label maps by case id.
        convention: of labels and predictions.
        title: of the figure.

    Returns:
        None if no chosen case has both images and a prediction.

    Raises:
        PedsegError: a file cannot be read, or lies on another grid than its images.
    """
    chosen = {k: c for k, c in choose_cases(model.scores).items() if c in cases and c in predictions}
    if not chosen:
        return None
    columns = 3 * len(PLANES)
    size = (PANEL_INCHES * columns + 0.5, (PANEL_INCHES + 0.25) * len(chosen) + 1.0)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(len(chosen), columns, squeeze=False)
    dice = model.scores.set_index(["case", "region"])["dice"].to_dict()
    for row, (place, case_id) in zip(axes, chosen.items(), strict=True):
        shown = _read(cases[case_id], predictions[case_id], convention)
        for number, plane in enumerate(PLANES):
            _draw_plane(row[3 * number : 3 * number + 3], shown, plane)
        values = "  ".join(f"{r.upper()} {dice.get((case_id, r), np.nan):.2f}" for r in ("et", "tc", "wt"))
        row[0].set_ylabel(f"{place}: {case_id}\nDice  {values}", fontsize=7)
    for number, axis in enumerate(axes[0]):
        axis.set_title(f"{PLANES[number // 3].name}\n{('label', 'prediction', 'errors')[number % 3]}", fontsize=8)
    lines = [Line2D([], [], color=REGION_COLOURS[r], label=r.upper(), linewidth=2) for r in ("et", "tc", "wt")]
    patches = [Patch(color=colour, label=name) for name, colour in ERROR_COLOURS.items()]
    figure.legend(handles=[*lines, *patches], loc="outside lower center", ncols=len(lines) + len(patches))
    return figure


def preview_figure(case: Case, prediction: Path, *, convention: LabelConvention) -> Figure:
    """Draw the outlines of a prediction on three planes of two sequences.

    Raises:
        PedsegError: a file cannot be read, or images and prediction differ in shape.
    """
    figure = Figure(figsize=(2 * PANEL_INCHES * len(PLANES) + 0.3, PANEL_INCHES + 1.0), layout="constrained")
    axes = figure.subplots(1, 2 * len(PLANES), squeeze=False)[0]
    shown = _read(case, prediction, convention)
    for number, plane in enumerate(PLANES):
        index, spacing = _where(shown, plane)
        for axis, modality in zip(axes[2 * number :], (OUTLINED, MAPPED), strict=False):
            image = _cut(shown.images[modality], plane, index)
            _draw_image(axis, image, spacing)
            _draw_outlines(axis, _cut(shown.predicted, plane, index))
            axis.set(**_field_of_view(image, spacing))
            axis.set_title(f"{plane.name}\n{NAMES[modality]}", fontsize=8)
        _annotate(axes[2 * number], plane, spacing, f"{plane.world} = {shown.places_mm[plane.axis][index]:.0f} mm")
    lines = [Line2D([], [], color=REGION_COLOURS[r], label=r.upper(), linewidth=2) for r in ("et", "tc", "wt")]
    figure.legend(handles=lines, loc="outside lower center", ncols=len(lines))
    return figure


def _where(shown: Shown, plane: Plane) -> tuple[int, list[float]]:
    """The slice with most tumour in the label, else in the prediction, else the middle one; and its pixel size."""
    guide = shown.label[0] if shown.label is not None and shown.label[0].any() else shown.predicted[0]
    others = tuple(axis for axis in range(3) if axis != plane.axis)
    index = int(guide.sum(axis=others).argmax()) if guide.any() else guide.shape[plane.axis] // 2
    return index, [shown.spacing_mm[axis] for axis in others]


def _read(case: Case, prediction: Path, convention: LabelConvention) -> Shown:
    files = dict(zip(Modality, case.images, strict=True))
    grid = upright(read_volume(files[OUTLINED]))
    images = {OUTLINED: grid.data, MAPPED: read_onto(files[MAPPED], grid).data}
    predicted = masks_from_labels(read_label_onto(prediction, grid), convention)[: len(Region)]
    label = None if case.label is None else masks_from_labels(read_label_onto(case.label, grid), convention)
    if label is not None:
        predicted, label, _ = judged(predicted, label)
    places = tuple(
        grid.affine[a, a] * np.arange(n) + grid.affine[a, 3] for a, n in zip((2, 1, 0), grid.data.shape, strict=True)
    )
    return Shown(images, predicted, label, grid.spacing_mm, places)


def _draw_plane(row: Sequence[Axes], shown: Shown, plane: Plane) -> None:
    """Draw label, prediction and errors on one plane."""
    index, spacing = _where(shown, plane)
    outlined, mapped = (_cut(shown.images[modality], plane, index) for modality in (OUTLINED, MAPPED))
    for axis, regions in zip(row, (shown.label, shown.predicted), strict=False):
        _draw_image(axis, outlined, spacing)
        _draw_outlines(axis, None if regions is None else _cut(regions, plane, index))
    _draw_image(row[2], mapped, spacing)
    errors = None if shown.label is None else error_map(shown.predicted, shown.label)
    _draw_errors(row[2], None if errors is None else _cut(errors, plane, index))
    for axis in row:
        axis.set(**_field_of_view(outlined, spacing))
    _annotate(row[0], plane, spacing, f"{plane.world} = {shown.places_mm[plane.axis][index]:.0f} mm")


def _cut(volume: NDArray[Any], plane: Plane, index: int) -> NDArray[Any]:
    """A slice (..., rows, columns) of a volume (..., Z, Y, X)."""
    cut: NDArray[Any] = np.take(volume, index, axis=plane.axis - 3)
    return cut


def _field_of_view(image: NDArray[np.generic], spacing: Sequence[float]) -> dict[str, Any]:
    """Limits of x and y (pointing down) that frame what is not zero."""
    rows, columns = np.nonzero(image)
    if not len(rows):
        return {"xlim": (-0.5, image.shape[1] - 0.5), "ylim": (image.shape[0] - 0.5, -0.5)}
    down, across = (MARGIN_MM / size + 0.5 for size in spacing)
    return {
        "xlim": (columns.min() - across, columns.max() + across),
        "ylim": (rows.max() + down, rows.min() - down),
    }


def _draw_image(axis: Axes, image: NDArray[np.generic], spacing: Sequence[float]) -> None:
    inside = image[image != 0]
    low, high = np.percentile(inside, WINDOW) if len(inside) else (0, 1)
    axis.set_facecolor("black")
    axis.imshow(image, cmap="gray", vmin=low, vmax=high, aspect=spacing[0] / spacing[1], interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set_visible(False)


def _draw_outlines(axis: Axes, regions: NDArray[np.bool_] | None) -> None:
    if regions is None:
        axis.text(0.5, 0.5, "no label", transform=axis.transAxes, ha="center", color="white")
        return
    for region, mask in zip(Region, regions, strict=True):
        if mask.any():
            colours, width = [REGION_COLOURS[region.value]], LINE_WIDTHS[region]
            axis.contour(mask.astype(float), levels=[0.5], colors=colours, linewidths=width)


def _draw_errors(axis: Axes, errors: NDArray[np.uint8] | None) -> None:
    if errors is None:
        axis.text(0.5, 0.5, "no label", transform=axis.transAxes, ha="center", color="white")
        return
    palette = np.array([(0, 0, 0, 0), *(to_rgba(colour, 0.85) for colour in ERROR_COLOURS.values())])
    axis.imshow(palette[errors], aspect=axis.get_aspect(), interpolation="nearest")


def _annotate(axis: Axes, plane: Plane, spacing: Sequence[float], position: str) -> None:
    """Write sides, position and a scale bar on a panel."""
    halo = [withStroke(linewidth=1.5, foreground="black")]
    style: dict[str, Any] = {"transform": axis.transAxes, "color": "white", "fontsize": 7, "path_effects": halo}
    axis.text(0.02, 0.5, plane.sides[0], va="center", ha="left", **style)
    axis.text(0.98, 0.5, plane.sides[1], va="center", ha="right", **style)
    axis.text(0.02, 0.98, position, va="top", ha="left", **style)
    (left, right), (bottom, _) = axis.get_xlim(), axis.get_ylim()
    start, length = left + 0.04 * (right - left), BAR_MM / spacing[1]
    height = bottom - 0.04 * (bottom - axis.get_ylim()[1])
    axis.plot([start, start + length], [height, height], color="white", linewidth=2, solid_capstyle="butt")
