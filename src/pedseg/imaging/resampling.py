"""nnU-Net's default resampling (Isensee et al. 2021), on scipy alone.

Grids are aligned at the outer faces of the volume, edges are replicated, no smoothing precedes down-sampling, and the
result is clipped to the input's range. If the coarsest axis of either grid is more than three times the finest, each
slice across that axis is interpolated in two dimensions and the axis itself by nearest neighbour.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

ANISOTROPY_THRESHOLD = 3.0  # nnU-Net 2.8.1, configuration.py
SplineOrder = Literal[0, 1, 3]
IMAGE_ORDER: SplineOrder = 3
LABEL_ORDER: SplineOrder = 1
LOGITS_ORDER: SplineOrder = 1

Resizer = Callable[[NDArray[Any], tuple[int, ...]], NDArray[Any]]


def resampled_shape(
    shape: Sequence[int], spacing_mm: Sequence[float], new_spacing_mm: Sequence[float]
) -> tuple[int, int, int]:
    """Shape (z, y, x) of a volume after resampling to `new_spacing_mm`; an axis never vanishes."""
    d, h, w = (max(1, round(a / b * n)) for a, b, n in zip(spacing_mm, new_spacing_mm, shape, strict=True))
    return d, h, w


def coarse_axis(spacing_mm: Sequence[float], new_spacing_mm: Sequence[float]) -> int | None:
    """Axis that must be resampled by nearest neighbour, or None if the grids are not anisotropic along a single one."""
    for spacing in (spacing_mm, new_spacing_mm):
        if max(spacing) / min(spacing) > ANISOTROPY_THRESHOLD:
            coarsest = [axis for axis, size in enumerate(spacing) if size == max(spacing)]
            return coarsest[0] if len(coarsest) == 1 else None
    return None


def resample_image(
    image: NDArray[Any],
    shape: Sequence[int],
    *,
    spacing_mm: Sequence[float],
    new_spacing_mm: Sequence[float],
    order: SplineOrder = IMAGE_ORDER,
) -> NDArray[Any]:
    """Resample each channel of (C, D, H, W) to `shape`, by splines of the given order; the type is kept."""
    if image.shape[1:] == tuple(shape):
        return image
    axis = coarse_axis(spacing_mm, new_spacing_mm)

    def resize(array: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
        return _zoom(array.astype(np.float64), size, order)

    return np.stack([_resize(channel, tuple(shape), axis, resize) for channel in image]).astype(image.dtype, copy=False)


def resample_label(
    label: NDArray[np.integer], shape: Sequence[int], *, spacing_mm: Sequence[float], new_spacing_mm: Sequence[float]
) -> NDArray[np.integer]:
    """Resample voxel labels (D, H, W) to `shape`: the label whose mask, interpolated linearly, is highest."""
    if label.shape == tuple(shape):
        return label
    return _resize(label, tuple(shape), coarse_axis(spacing_mm, new_spacing_mm), _resize_label)


def _resize(array: NDArray[Any], shape: tuple[int, ...], axis: int | None, resize: Resizer) -> NDArray[Any]:
    if axis is None:
        return resize(array, shape)
    in_plane = tuple(n for a, n in enumerate(shape) if a != axis)
    slices = np.stack([resize(plane, in_plane) for plane in np.moveaxis(array, axis, 0)], axis=axis)
    positions = array.shape[axis] / shape[axis] * (np.arange(shape[axis]) + 0.5) - 0.5
    nearest = np.clip(np.floor(positions + 0.5).astype(np.intp), 0, array.shape[axis] - 1)
    result: NDArray[Any] = np.take(slices, nearest, axis=axis)
    return result


def _zoom(array: NDArray[np.float64], shape: tuple[int, ...], order: SplineOrder) -> NDArray[np.float64]:
    from scipy import ndimage  # noqa: PLC0415  (most cohorts keep their grid)

    # The reciprocal of a quotient, not the other quotient: scipy sees the same last bit as under nnU-Net.
    factors = [1 / (old / new) for old, new in zip(array.shape, shape, strict=True)]
    result: NDArray[np.float64] = ndimage.zoom(array, factors, order=order, mode="nearest", grid_mode=True)
    return np.clip(result, array.min(), array.max(), out=result)


def _resize_label(label: NDArray[np.integer], shape: tuple[int, ...]) -> NDArray[np.integer]:
    """Highest linearly interpolated mask; of labels that tie, the nearest neighbour if it is one, else the least."""
    values = np.unique(label)
    if len(values) == 1:
        return np.full(shape, values[0], dtype=label.dtype)
    nearest = _zoom(label.astype(np.float64), shape, 0)
    best = np.full(shape, -1.0)
    winner = np.zeros(shape, dtype=label.dtype)
    nearest_score = np.zeros(shape)
    for value in values:
        score = _zoom((label == value).astype(np.float64), shape, LABEL_ORDER)
        np.copyto(winner, value, where=score > best)
        np.maximum(best, score, out=best)
        np.copyto(nearest_score, score, where=nearest == value)
    np.copyto(winner, nearest.astype(label.dtype), where=nearest_score == best)
    return winner
