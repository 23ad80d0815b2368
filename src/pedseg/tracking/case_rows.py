"""Cases of a variant as rows with a picture: the axial slice with most tumour, patient's right on the left."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pedseg.cases import Case
from pedseg.errors import PedsegError
from pedseg.ignored import judged
from pedseg.imaging import read_label, read_volume
from pedseg.labels import LabelConvention, Modality, Region, masks_from_labels
from pedseg.tracking.results import METRICS, read_scores
from pedseg.tracking.tracker import CaseRow

WINDOW = (1.0, 99.5)  # percentiles of the intensities of the brain that become black and white


def case_row(case: Case, prediction: Path, scores: Mapping[str, float], *, convention: LabelConvention) -> CaseRow:
    """Draw FLAIR and the masks of a case, but for voxels that its label ignores.

    Args:
        case: its images, and its label if there is one.
        prediction: its label map.
        scores: of the case, by name.
        convention: of both label maps.

    Raises:
        PedsegError: a file cannot be read, or shapes differ.
    """
    volume = read_volume(case.images[list(Modality).index(Modality.T2F)])
    predicted = _masks(prediction, convention, shape=volume.data.shape)[: len(Region)]
    masks = {"prediction": _numbered(predicted)}
    if case.label:
        sides = judged(predicted, _masks(case.label, convention, shape=volume.data.shape))
        masks = {"prediction": _numbered(sides[0]), "label": _numbered(sides[1])}
    guide = masks.get("label", masks["prediction"])
    depth = int((guide > 0).sum(axis=(1, 2)).argmax()) if guide.any() else len(guide) // 2
    # Rows run to the back and columns to the patient's left; the world's axes (RAS) point the other way.
    flips = tuple(slice(None, None, -1) if volume.affine[axis, axis] > 0 else slice(None) for axis in (1, 0))
    shown = {name: np.ascontiguousarray(mask[depth][flips]) for name, mask in masks.items()}
    return CaseRow(case.id, scores, _grey(volume.data[depth][flips]), shown)


def scores_by_case(path: Path) -> dict[str, dict[str, float]]:
    """Scores of each case of a scores.csv, such as ``wt dice``; none where there is no such file."""
    if not path.exists():
        return {}
    table = read_scores(path)
    return {str(case): dict(_of_case(rows)) for case, rows in table.groupby("case")}


def _of_case(rows: pd.DataFrame) -> Iterator[tuple[str, float]]:
    for _, row in rows.iterrows():
        yield from ((f"{row['region']} {metric}", float(row[metric])) for metric in METRICS if pd.notna(row[metric]))


def _masks(path: Path, convention: LabelConvention, *, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    label = read_label(path)
    if label.shape != shape:
        raise PedsegError(f"{path}: has shape {label.shape[::-1]}, its images {shape[::-1]}")
    return masks_from_labels(label, convention)


def _numbered(regions: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Numbers of regions, from 1: where several overlap, the innermost."""
    numbers = np.zeros(regions.shape[1:], dtype=np.uint8)
    for number, region in enumerate(regions, start=1):
        numbers[region] = number
    return numbers


def _grey(image: NDArray[np.generic]) -> NDArray[np.uint8]:
    inside = image[image != 0]
    low, high = np.percentile(inside, WINDOW) if len(inside) else (0.0, 1.0)
    scaled = (image.astype(np.float64) - low) / max(high - low, 1e-6)
    return np.asarray(np.clip(scaled, 0, 1) * 255, dtype=np.uint8)
