"""Best, median and worst case of a model: label and prediction on the images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pedseg.analysis.figures import REGION_COLOURS
from pedseg.analysis.models import Model
from pedseg.cases import Case
from pedseg.imaging import read_label, read_volume
from pedseg.labels import LabelConvention, Modality, Region, regions_from_labels

SHOWN = (Modality.T1C, Modality.T2F)
MARGIN = 3  # voxels kept around the brain


def choose_cases(scores: pd.DataFrame) -> dict[str, str]:
    """Best, median and worst case by the mean Dice of the three regions; fewer if there are fewer cases."""
    ranked = scores.groupby("case")["dice"].mean().sort_values(ascending=False, kind="stable")
    places = {"best": 0, "median": len(ranked) // 2, "worst": len(ranked) - 1}
    chosen: dict[str, str] = {}
    for name, place in places.items():
        if ranked.index[place] not in chosen.values():
            chosen[name] = str(ranked.index[place])
    return chosen


def slice_figure(
    model: Model, cases: Mapping[str, Case], predictions: Mapping[str, Path], *, convention: LabelConvention, title: str
) -> Figure | None:
    """Draw the chosen cases, one per row: T1c and FLAIR with the label's and the prediction's outlines.

    The slice is the axial one with most tumour in the label (in the prediction where there is no label).

    Args:
        model: whose scores choose the cases.
        cases: images and labels by case id.
        predictions: label maps by case id.
        convention: of labels and predictions.
        title: of the figure.

    Returns:
        None if no chosen case has both images and a prediction.
    """
    chosen = {k: c for k, c in choose_cases(model.scores).items() if c in cases and c in predictions}
    if not chosen:
        return None
    figure = Figure(figsize=(2.6 * 2 * len(SHOWN), 2.9 * len(chosen)), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(len(chosen), 2 * len(SHOWN), squeeze=False)
    dice = model.scores.set_index(["case", "region"])["dice"].to_dict()
    for row, (place, case_id) in zip(axes, chosen.items(), strict=True):
        _draw_case(row, cases[case_id], predictions[case_id], convention)
        values = " ".join(f"{r.upper()} {dice[case_id, r]:.2f}" for r in ("wt", "tc", "et"))
        row[0].set_ylabel("\n".join((place, case_id, values)), fontsize=8)
    for axis, text in zip(axes[0], [f"{m.upper()} · {w}" for m in SHOWN for w in ("label", "prediction")], strict=True):
        axis.set_title(text)
    return figure


def _draw_case(row: Sequence[Axes], case: Case, prediction: Path, convention: LabelConvention) -> None:
    images = {m: read_volume(case.images[list(Modality).index(m)]) for m in SHOWN}
    predicted = regions_from_labels(read_label(prediction), convention)
    label = regions_from_labels(read_label(case.label), convention) if case.label else None
    guide = label[0] if label is not None and label[0].any() else predicted[0]
    depth = int(guide.sum(axis=(1, 2)).argmax()) if guide.any() else guide.shape[0] // 2
    spacing = images[Modality.T1C].spacing_mm
    for number, volume in enumerate(images.values()):
        for axis, regions in ((row[2 * number], label), (row[2 * number + 1], predicted)):
            _draw_slice(axis, volume.data[depth], None if regions is None else regions[:, depth], spacing)


def _draw_slice(
    axis: Axes, image: NDArray[np.generic], regions: NDArray[np.bool_] | None, spacing: Sequence[float]
) -> None:
    inside = image[image != 0]
    low, high = np.percentile(inside, [1, 99.5]) if len(inside) else (0, 1)
    axis.imshow(image, cmap="gray", vmin=low, vmax=high, aspect=spacing[1] / spacing[2])
    for region, mask in zip(Region, regions if regions is not None else (), strict=False):
        if mask.any():
            axis.contour(mask.astype(float), levels=[0.5], colors=[REGION_COLOURS[region.value]], linewidths=1.2)
    rows, columns = np.nonzero(image)
    if len(rows):
        axis.set_xlim(columns.min() - MARGIN, columns.max() + MARGIN)
        axis.set_ylim(rows.max() + MARGIN, rows.min() - MARGIN)
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set_visible(False)
