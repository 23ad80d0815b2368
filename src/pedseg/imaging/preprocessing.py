"""From the volumes of a case to what a network reads, and from its logits back to the input grid.

nnU-Net's preprocessing (Isensee et al. 2021; version 2.8.1 is the reference of the tests): crop to the brain, z-score
inside it, resample only if the voxel size differs. nnU-Net masks the z-score only where the median case shrinks below
three quarters by cropping; skull-stripped BraTS images do (about 0.37), so it is always masked here.

The brain is found from the images alone. nnU-Net also counts labelled voxels outside it as brain; an input that depends
on the label cannot be had at prediction, nor for an unlabelled cohort, so that is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.cases import Case
from pedseg.errors import PedsegError, Problem
from pedseg.imaging.brain import Box, find_brain
from pedseg.imaging.geometry import in_xyz
from pedseg.imaging.integrity import read_checked, read_label_onto
from pedseg.imaging.nifti import Volume
from pedseg.imaging.resampling import LOGITS_ORDER, resample_image, resample_label, resampled_shape
from pedseg.labels import LabelConvention, Region, masks_from_labels

STD_FLOOR = 1e-8  # nnU-Net's, for a channel that is constant inside the brain
OUTSIDE = -1  # voxel label that stands for "not brain" while a label map is resampled
Spacing = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """A case, cropped to its brain and ready for the network.

    Attributes:
        raw: (C, d, h, w). Intensities as in the file (int16 if that is exact, else float32) with `mean` and `std` to
            normalise them; z-scores (float32, mean 0, std 1) if the case had to be resampled.
        mean: (C,) float32, inside the brain.
        std: (C,) float32, inside the brain, not below `STD_FLOOR`.
        brain: (d, h, w) bool.
        crop_brain: the same before resampling, on the crop of the input grid.
        crop: box of the brain in the input grid.
        input_shape: (Z, Y, X) of the input grid.
        input_spacing_mm: voxel size of the input grid (z, y, x).
        spacing_mm: voxel size of `raw` (z, y, x).
        grid: index of the image of the case whose file has the input grid; others may be stored in other axes.
        remarks: what is worth saying of the images, none of which keeps them from being used.
    """

    raw: NDArray[Any]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    brain: NDArray[np.bool_]
    crop_brain: NDArray[np.bool_]
    crop: Box
    input_shape: tuple[int, int, int]
    input_spacing_mm: Spacing
    spacing_mm: Spacing
    grid: int = 0
    remarks: tuple[Problem, ...] = ()

    def normalised(self) -> NDArray[np.float32]:
        """Return the network's input (C, d, h, w)."""
        return normalise(self.raw, self.brain, mean=self.mean, std=self.std)

    @property
    def crop_shape(self) -> tuple[int, int, int]:
        """Shape of the crop on the input grid (equal to that of `raw` unless the case was resampled)."""
        z, y, x = (side.stop - side.start for side in self.crop)
        return z, y, x


def normalise(
    raw: NDArray[Any], brain: NDArray[np.bool_], *, mean: NDArray[np.float32], std: NDArray[np.float32]
) -> NDArray[np.float32]:
    """z-score (C, d, h, w) inside `brain`; outside, values stay as they are (0, unless resampling smeared the edge)."""
    image = np.empty(raw.shape, dtype=np.float32)
    for channel, source, centre, scale in zip(image, raw, mean, std, strict=True):
        np.subtract(source, centre, out=channel, dtype=np.float32)
        np.divide(channel, scale, out=channel)
        np.copyto(channel, source, where=~brain, casting="same_kind")
    return image


def prepare_case(case: Case, *, spacing_mm: Spacing | None, background: float | None = None) -> PreparedImage:
    """Read the images of a case, check them, and prepare them as `prepare_image` does.

    Raises:
        ProblemsError: something is wrong with them.
    """
    images = read_checked(case, background=background)
    prepared = prepare_image(images.volumes, spacing_mm=spacing_mm, background=background)
    return replace(prepared, grid=images.grid, remarks=images.remarks)


def prepare_image(
    volumes: Sequence[Volume], *, spacing_mm: Spacing | None, background: float | None = None
) -> PreparedImage:
    """Crop, z-score and, if `spacing_mm` is given and differs, resample the modalities of a case.

    Args:
        volumes: the modalities, on one grid.
        spacing_mm: voxel size (z, y, x) to resample to; None keeps the input's.
        background: value at or below which voxels are background, which become 0; None: those that are 0.

    Raises:
        PedsegError: shapes or voxel sizes of the modalities differ, or every voxel is background.
    """
    first = volumes[0]
    for volume in volumes[1:]:
        if volume.data.shape != first.data.shape or not np.allclose(volume.spacing_mm, first.spacing_mm, rtol=1e-3):
            raise PedsegError(
                f"modalities differ in grid: {_grid(first)} and {_grid(volume)}; register them to one grid"
            )
    crop, brain = find_brain([volume.data for volume in volumes], background)
    raw = _stack([volume.data[crop] for volume in volumes])
    if background is not None:
        raw[:, ~brain] = 0
    voxels = np.flatnonzero(brain)
    inside = [channel.reshape(-1)[voxels].astype(np.float32) for channel in raw]
    mean = np.array([values.mean() for values in inside], dtype=np.float32)
    std = np.array([max(values.std(), STD_FLOOR) for values in inside], dtype=np.float32)
    z, y, x = first.data.shape
    prepared = PreparedImage(raw, mean, std, brain, brain, crop, (z, y, x), first.spacing_mm, first.spacing_mm)
    return prepared if spacing_mm is None else _resample(prepared, spacing_mm)


def _grid(volume: Volume) -> str:
    return f"{in_xyz(volume.data.shape)} voxels of {in_xyz(volume.spacing_mm)} mm"


def prepare_label(
    label: NDArray[np.integer], prepared: PreparedImage, convention: LabelConvention
) -> NDArray[np.bool_]:
    """Bring a label map (Z, Y, X) to the grid of `prepared` as `masks_from_labels`, (3 or 4, d, h, w).

    Where it has to be resampled, ignored voxels are one label among the others: a voxel becomes what weighs most in it.

    Raises:
        PedsegError: its shape is not that of the images.
    """
    if label.shape != prepared.input_shape:
        raise PedsegError(
            f"label of {in_xyz(label.shape)} voxels does not fit images of {in_xyz(prepared.input_shape)} voxels"
        )
    cropped = _one_ignored(label[prepared.crop], convention)
    shape = prepared.brain.shape
    if cropped.shape != shape:
        marked = np.where(prepared.crop_brain | (cropped != 0), cropped, OUTSIDE).astype(np.int32)
        cropped = resample_label(
            marked, shape, spacing_mm=prepared.input_spacing_mm, new_spacing_mm=prepared.spacing_mm
        ).clip(min=0)
    return masks_from_labels(cropped, convention)


def _one_ignored(label: NDArray[np.integer], convention: LabelConvention) -> NDArray[np.integer]:
    """The label with one value for all that is ignored, so that together they weigh what they weigh."""
    ignored = np.isin(label, convention.ignore[1:])
    return np.where(ignored, label.dtype.type(convention.ignore[0]), label) if ignored.any() else label


def prepare_labelled_case(
    case: Case, convention: LabelConvention, *, spacing_mm: Spacing | None, background: float | None = None
) -> tuple[PreparedImage, NDArray[np.bool_]]:
    """Prepare a case as `prepare_case` does, and its label as `prepare_label` does, ignored voxels with it.

    Raises:
        PedsegError: something is wrong with the images or the label, or the case has none.
    """
    if case.label is None:
        raise PedsegError(f"{case.id}: has no label; give labelled cases")
    images = read_checked(case, background=background)
    prepared = prepare_image(images.volumes, spacing_mm=spacing_mm, background=background)
    return prepared, prepare_label(read_label_onto(case.label, images.volumes[0]), prepared, convention)


def restore_logits(logits: NDArray[np.floating], prepared: PreparedImage) -> NDArray[np.floating]:
    """Resample logits (C, d, h, w) to the crop on the input grid (C, z, y, x); the same array if nothing differs."""
    return resample_image(
        logits,
        prepared.crop_shape,
        spacing_mm=prepared.spacing_mm,
        new_spacing_mm=prepared.input_spacing_mm,
        order=LOGITS_ORDER,
    )


def restore_regions(logits: NDArray[np.floating], prepared: PreparedImage) -> NDArray[np.bool_]:
    """Turn logits (3, d, h, w) into region masks (3, Z, Y, X) on the input grid: probability above one half."""
    regions = np.zeros((len(Region), *prepared.input_shape), dtype=bool)
    regions[(slice(None), *prepared.crop)] = restore_logits(logits, prepared) > 0
    return regions


def narrow(array: NDArray[Any]) -> NDArray[Any]:
    """Return `array` as int16 if that changes no value (the least int16 stays free for the store), else float32."""
    limits = np.iinfo(np.int16)
    if array.dtype == np.int16 and array.min() > limits.min:
        return array
    if array.min() > limits.min and array.max() <= limits.max:
        whole = array.astype(np.int16)
        if np.array_equal(whole, array):
            return whole
    return array.astype(np.float32, copy=False)


def _stack(channels: Sequence[NDArray[Any]]) -> NDArray[Any]:
    narrowed = [narrow(channel) for channel in channels]
    return np.stack(narrowed).astype(np.result_type(*narrowed), copy=False)


def _resample(prepared: PreparedImage, spacing_mm: Spacing) -> PreparedImage:
    """Resample the z-scores (normalising first keeps the mask true, as nnU-Net does) and the mask."""
    old = prepared.spacing_mm
    shape = resampled_shape(prepared.brain.shape, old, spacing_mm)
    if shape == prepared.brain.shape:
        return prepared
    image = resample_image(prepared.normalised(), shape, spacing_mm=old, new_spacing_mm=spacing_mm)
    mask = np.where(prepared.brain, 0, OUTSIDE).astype(np.int8)
    brain = resample_label(mask, shape, spacing_mm=old, new_spacing_mm=spacing_mm) != OUTSIDE
    channels = len(image)
    return replace(
        prepared,
        raw=image,
        mean=np.zeros(channels, dtype=np.float32),
        std=np.ones(channels, dtype=np.float32),
        brain=brain,
        spacing_mm=spacing_mm,
    )
