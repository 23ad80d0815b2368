"""Cases as the viewer's volumes: sequences in 256 greys, label, predictions, and where these are wrong."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip
from numpy.typing import NDArray

from pedseg.cases import Case, ImageFile
from pedseg.ignored import judged
from pedseg.imaging import Volume, read_volume
from pedseg.imaging.integrity import read_label_onto, read_onto
from pedseg.labels import LabelConvention, Modality, Region, get_convention, labels_from_regions, masks_from_labels
from pedseg.metrics import error_map
from pedseg.pages.viewing import Layer, ViewedCase

TITLES = {
    Modality.T1N: "T1",
    Modality.T1C: "T1 with contrast",
    Modality.T2W: "T2",
    Modality.T2F: "FLAIR",
}
ORDER = (Modality.T2F, Modality.T1C, Modality.T1N, Modality.T2W)  # in the list; the first is shown first
WINDOW = (0.5, 99.5)  # percentiles of the intensities inside the brain that become black and white
TISSUES = get_convention("brats2023")  # codes of the volumes of kind ``tissues``
MARGIN = 2  # voxels kept around the brain
_gzip: Any = igzip  # not typed


@dataclass(frozen=True, slots=True)
class Frame:
    """The part of a case's grid that the viewer has.

    Attributes:
        box: slices of (Z, Y, X).
        grid: of the case, whole.
        affine: (4, 4) from voxel (x, y, z) of the part to world mm.
    """

    box: tuple[slice, slice, slice]
    grid: Volume
    affine: NDArray[np.float64]


def view_case(
    case: Case,
    predictions: Mapping[str, Path],
    *,
    convention: LabelConvention,
    note: str = "",
    scores: Mapping[str, str] | None = None,
    probabilities: Mapping[str, Path] | None = None,
) -> ViewedCase:
    """Make the volumes of a case; where its label ignores voxels, no prediction is wrong.

    Args:
        case: its images, and its label if it has one.
        predictions: label map of each model.
        convention: of label and predictions.
        note: what to know of the case.
        scores: a sentence for each model.
        probabilities: of the regions, a file of `pedseg.imaging.probabilities` for each model that has one.

    Raises:
        PedsegError: a file cannot be read, or a label map is on another grid.
    """
    there = [modality for modality in ORDER if modality not in case.missing]
    files = dict(zip(Modality, case.images, strict=True))
    grid = read_volume(files[there[0]])
    images = {modality: read_onto(files[modality], grid).data for modality in there}
    frame = _frame(grid, list(images.values()))
    label = None if case.label is None else _masks(case.label, convention, frame)
    layers = [Layer(TITLES[modality], "image", _grey(data, frame)) for modality, data in images.items()]
    if label is not None:
        layers.append(_tissues("label", label[: len(Region)], frame))
    guide = label
    for model, path in predictions.items():
        regions = _masks(path, convention, frame)[: len(Region)]
        layers.append(_tissues("prediction", regions, frame, model=model))
        if label is not None:
            errors = error_map(*judged(regions, label)[:2])
            layers.append(Layer("errors", "difference", _nifti(errors, frame), model))
        if probabilities and model in probabilities:
            layers += _probabilities(probabilities[model], frame, model)
        guide = regions if guide is None else guide
    return ViewedCase(case.id, note, layers, dict(scores or {}), _spot(guide, frame))


def _frame(grid: Volume, images: Sequence[NDArray[Any]]) -> Frame:
    """The box around what is not 0 in any sequence."""
    anything = np.any([data != 0 for data in images], axis=0)
    box = []
    for axis in range(3):
        places = np.flatnonzero(anything.any(axis=tuple(other for other in range(3) if other != axis)))
        first, last = (int(places[0]), int(places[-1])) if len(places) else (0, anything.shape[axis] - 1)
        box.append(slice(max(first - MARGIN, 0), last + 1 + MARGIN))
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [box[axis].start for axis in (2, 1, 0)]
    return Frame((box[0], box[1], box[2]), grid, affine)


def _grey(data: NDArray[Any], frame: Frame) -> bytes:
    inside = data[data != 0]
    low, high = np.percentile(inside, WINDOW) if len(inside) else (0.0, 1.0)
    scaled = (data[frame.box].astype(np.float32) - low) / max(float(high - low), 1e-6)
    greys = np.clip(1 + 254 * scaled, 1, 255).round() * (data[frame.box] != 0)
    return _nifti(greys.astype(np.uint8), frame)


def _masks(path: Path, convention: LabelConvention, frame: Frame) -> NDArray[np.bool_]:
    return masks_from_labels(read_label_onto(path, frame.grid), convention)[(slice(None), *frame.box)]


def _tissues(title: str, regions: NDArray[np.bool_], frame: Frame, *, model: str = "") -> Layer:
    return Layer(title, "tissues", _nifti(labels_from_regions(regions, TISSUES), frame), model)


def _probabilities(path: Path, frame: Frame, model: str) -> Iterator[Layer]:
    for place, region in enumerate(Region):
        values = read_onto(ImageFile(path, place), frame.grid).data
        codes = (255 * np.clip(values[frame.box].astype(np.float32), 0, 1)).round().astype(np.uint8)
        yield Layer(f"probability of {region.value.upper()}", "probability", _nifti(codes, frame), model)


def _nifti(data: NDArray[np.uint8], frame: Frame) -> bytes:
    """A compressed NIfTI file of a volume (Z, Y, X), the same bytes each time."""
    image = nib.Nifti1Image(np.ascontiguousarray(data.T), frame.affine)
    image.header.set_xyzt_units("mm")
    content: bytes = _gzip.compress(image.to_bytes(), mtime=0)
    return content


def _spot(regions: NDArray[np.bool_] | None, frame: Frame) -> tuple[float, float, float]:
    """World coordinates of the middle of the tumour, or of the volume where there is none."""
    places = np.argwhere(regions[0]) if regions is not None and regions[0].any() else None
    middle = [(part.stop - part.start) / 2 for part in frame.box] if places is None else places.mean(axis=0)
    x, y, z = (frame.affine @ [middle[2], middle[1], middle[0], 1.0])[:3]
    return float(x), float(y), float(z)
