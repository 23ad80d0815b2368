"""nnU-Net's spatial augmentation: rotation and scaling, reading no more of the volume than the patch needs.

nnU-Net reads a 205³ box for every 128³ patch. Here the parameters are drawn before reading: a patch that is not
transformed (64 % of them) is read as it is, and any other reads the bounding box of its rotated and scaled self, cut to
the volume. Sampling outside the volume gives 0, so the cut changes nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pedseg.data.memory import empty

ROTATION_PROBABILITY = 0.2
MAX_ANGLE = np.deg2rad(30.0)
SCALING_PROBABILITY = 0.2
SCALE_RANGE = (0.7, 1.4)
_HALF = 0.5
PLANES = 16  # of a patch that are computed together on a CPU, so that they stay in cached memory


class ReadBox(NamedTuple):
    """Part of a volume to read for one patch.

    Attributes:
        start: first voxel (z, y, x).
        size: voxels per axis.
        affine: (3, 4) float32, output voxel → box voxel; None when the box *is* the patch.
    """

    start: tuple[int, int, int]
    size: tuple[int, int, int]
    affine: NDArray[np.float32] | None


def draw_matrix(rng: np.random.Generator) -> NDArray[np.float64] | None:
    """Draw nnU-Net's rotation (p 0.2, ±30° about each axis) and scaling (p 0.2, one factor in 0.7-1.4).

    Returns:
        (3, 3) matrix from centred output to centred input coordinates, or None when neither fires. A scale above 1
        makes objects smaller.
    """
    rotate, scale = rng.random(2) < (ROTATION_PROBABILITY, SCALING_PROBABILITY)
    if not rotate and not scale:
        return None
    matrix = rotation_matrix(rng.uniform(-MAX_ANGLE, MAX_ANGLE, 3)) if rotate else np.eye(3)
    return matrix * rng.uniform(*SCALE_RANGE) if scale else matrix


def rotation_matrix(angles: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotations (radians) about axes 0, 1 and 2, applied in that order, as batchgeneratorsv2 composes them."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[j, i] = np.sin(angle)
        turn[i, j] = -turn[j, i]
        matrix = turn @ matrix
    return matrix


def required_box(
    matrix: NDArray[np.float64] | None, start: tuple[int, int, int], patch_size: Sequence[int], shape: Sequence[int]
) -> ReadBox:
    """Find the part of a volume of `shape` that the patch at `start` is computed from.

    Args:
        matrix: from `draw_matrix`; it acts about the patch centre.
        start: first voxel of the untransformed patch; may lie outside the volume.
        patch_size: voxels per axis of the output.
        shape: voxels per axis of the volume.
    """
    z, y, x = patch_size
    if matrix is None:
        return ReadBox(start, (z, y, x), None)
    half = (np.asarray(patch_size) - 1) / 2
    centre = np.asarray(start) + half
    reach = np.abs(matrix) @ half + 1e-3  # farthest sample from the centre; the margin covers float32 rounding
    last = np.asarray(shape) - 1
    low = np.clip(np.floor(centre - reach), 0, last).astype(int)
    high = np.clip(np.floor(centre + reach) + 1, low, last).astype(int)
    offset = centre - matrix @ half - low
    affine = np.concatenate([matrix, offset[:, None]], axis=1).astype(np.float32)
    (a, b, c), (d, h, w) = low.tolist(), (high - low + 1).tolist()
    return ReadBox((a, b, c), (d, h, w), affine)


def resample(channels: Sequence[Tensor], affine: NDArray[np.float32], patch_size: Sequence[int]) -> Tensor:
    """Linear interpolation of boxes (D, H, W) of any type at the output voxels of a patch → (C, *patch), 0 outside.

    A pure scaling is separable and done axis by axis, which costs half of the general case.
    """
    if not np.any(affine[:, :3] * (1 - np.eye(3, dtype=np.float32))):
        return _resample_axes(channels, affine, patch_size)
    device = channels[0].device
    box = _interleave(channels)
    result = empty((len(channels), *patch_size), device)
    planes = PLANES if device.type == "cpu" else patch_size[0]
    for first in range(0, patch_size[0], planes):
        part = slice(first, min(first + planes, patch_size[0]))
        grid = _sampling_grid(affine, part, patch_size[1:], box.shape[1:], device)
        result[:, part] = F.grid_sample(
            box[None], grid[None], mode="bilinear", padding_mode="zeros", align_corners=False
        )[0]
    return result


def _interleave(channels: Sequence[Tensor]) -> Tensor:
    """Boxes as one tensor (C, D, H, W) that holds the channels of a voxel side by side, as `grid_sample` reads them."""
    first = channels[0]
    box = empty((*first.shape, len(channels)), first.device)
    for start in range(0, len(first), PLANES):
        part = slice(start, start + PLANES)
        for index, channel in enumerate(channels):
            box[part, ..., index] = channel[part]
    return box.movedim(-1, 0)


def resample_masks(masks: Tensor, affine: NDArray[np.float32], patch_size: Sequence[int]) -> Tensor:
    """Resample masks (C, *box) → bool (C, *patch): true where the interpolated mask exceeds one half.

    On a CPU only the part of the patch that the masks can reach is computed; a GPU would have to wait to learn it.
    """
    if masks.device.type != "cpu":
        return resample(tuple(masks), affine, patch_size) > _HALF
    result = torch.zeros((masks.shape[0], *patch_size), dtype=torch.bool)
    occupied = _occupied(masks)
    if occupied is None:
        return result
    inner, moved = _reached(occupied, affine, patch_size)
    size = [s.stop - s.start for s in inner]
    if min(size) > 0:
        part = masks[(slice(None), *occupied)]
        result[(slice(None), *inner)] = resample(tuple(part), moved, size) > _HALF
    return result


def _occupied(masks: Tensor) -> tuple[slice, slice, slice] | None:
    """Bounding box of the voxels that are in any of (C, D, H, W); None without any."""
    any_mask: NDArray[np.bool_] = np.any(masks.numpy(), axis=0)
    depth = np.flatnonzero(np.any(any_mask, axis=(1, 2)))
    if not len(depth):
        return None
    plane: NDArray[np.bool_] = np.any(any_mask[depth[0] : depth[-1] + 1], axis=0)
    height, width = np.flatnonzero(np.any(plane, axis=1)), np.flatnonzero(np.any(plane, axis=0))
    z, y, x = (slice(int(hits[0]), int(hits[-1]) + 1) for hits in (depth, height, width))
    return z, y, x


def _reached(
    occupied: Sequence[slice], affine: NDArray[np.float32], patch_size: Sequence[int]
) -> tuple[tuple[slice, ...], NDArray[np.float32]]:
    """Output voxels that voxels in `occupied` contribute to, and the affine from that part to that part."""
    matrix, offset = affine[:, :3].astype(np.float64), affine[:, 3].astype(np.float64)
    first = np.array([s.start for s in occupied])
    last = np.array([s.stop - 1 for s in occupied])
    inverse = np.linalg.inv(matrix)
    centre = inverse @ ((first + last) / 2 - offset)
    reach = np.abs(inverse) @ ((last - first) / 2 + 1)
    low = np.clip(np.floor(centre - reach), 0, patch_size).astype(int)
    high = np.clip(np.ceil(centre + reach) + 1, low, patch_size).astype(int)
    moved = np.concatenate([matrix, (matrix @ low + offset - first)[:, None]], axis=1)
    return tuple(slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True)), moved.astype(np.float32)


def _sampling_grid(
    affine: NDArray[np.float32], planes: slice, plane: Sequence[int], box: Sequence[int], device: torch.device
) -> Tensor:
    """Coordinates (planes, H, W, 3) for `grid_sample`: x first, in [-1, 1] from edge to edge of the box."""
    scale = 2.0 / np.asarray(box)
    normalised = affine.astype(np.float64) * scale[:, None]
    normalised[:, 3] += scale / 2 - 1
    z = torch.arange(planes.start, planes.stop, dtype=torch.float32, device=device)
    y, x = (torch.arange(n, dtype=torch.float32, device=device) for n in plane)
    grid = torch.empty((len(z), *plane, 3), device=device)
    for component, row in enumerate(normalised[::-1].tolist()):
        rows = (z[:, None] * row[0] + row[3]) + y * row[1]
        torch.add(rows[..., None], x * row[2], out=grid[..., component])
    return grid


def _resample_axes(channels: Sequence[Tensor], affine: NDArray[np.float32], patch_size: Sequence[int]) -> Tensor:
    """Resample one axis after another, shrinking axes first, one channel at a time to stay in cached memory."""
    result = empty((len(channels), *patch_size), channels[0].device)
    steps, offsets = affine[:, :3].diagonal().tolist(), affine[:, 3].tolist()
    order = (0, 1, 2) if steps[0] > 1 else (2, 1, 0)
    for index, channel in enumerate(channels):
        volume = channel.float()
        for axis in order:
            volume = _resample_axis(volume, axis, patch_size[axis], steps[axis], offsets[axis])
        result[index] = volume
    return result


def _resample_axis(volume: Tensor, axis: int, output: int, step: float, offset: float) -> Tensor:
    """Interpolate one axis of (D, H, W) at ``step * i + offset``, 0 outside.

    Along the last axis, whose elements cannot be gathered in blocks, a matrix product is faster than a gather.
    """
    size = volume.shape[axis]
    position = torch.arange(output, dtype=torch.float32, device=volume.device) * step + offset
    if axis == volume.dim() - 1:
        distance = (position - torch.arange(size, device=volume.device)[:, None]).abs()
        return torch.matmul(volume, (1.0 - distance).clamp_(min=0.0))
    low = position.floor()
    weight = position - low
    shape = [-1 if k == axis else 1 for k in range(volume.dim())]
    below = (1.0 - weight).where((low >= 0) & (low < size), 0.0).view(shape)
    above = weight.where((low >= -1) & (low < size - 1), 0.0).view(shape)
    index = low.long()
    result = volume.index_select(axis, index.clamp(0, size - 1)).mul_(below)
    return result.addcmul_(volume.index_select(axis, (index + 1).clamp(0, size - 1)), above)
