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

ROTATION_PROBABILITY = 0.2
MAX_ANGLE = np.deg2rad(30.0)
SCALING_PROBABILITY = 0.2
SCALE_RANGE = (0.7, 1.4)


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


def resample(box: Tensor, affine: NDArray[np.float32], patch_size: Sequence[int]) -> Tensor:
    """Linear interpolation of a box (C, *box) at the output voxels of a patch → (C, *patch), 0 outside the box.

    A pure scaling is separable and done axis by axis, which costs half of the general case.
    """
    if not np.any(affine[:, :3] * (1 - np.eye(3, dtype=np.float32))):
        return _resample_axes(box, affine, patch_size)
    grid = _sampling_grid(affine, patch_size, box.shape[1:], box.device)
    return F.grid_sample(box[None], grid[None], mode="bilinear", padding_mode="zeros", align_corners=False)[0]


def _sampling_grid(
    affine: NDArray[np.float32], patch_size: Sequence[int], box: Sequence[int], device: torch.device
) -> Tensor:
    """Coordinates (*patch, 3) for `grid_sample`: x first, in [-1, 1] from edge to edge of the box."""
    scale = 2.0 / np.asarray(box)
    normalised = affine.astype(np.float64) * scale[:, None]
    normalised[:, 3] += scale / 2 - 1
    z, y, x = (torch.arange(n, dtype=torch.float32, device=device) for n in patch_size)
    grid = torch.empty((*patch_size, 3), device=device)
    for component, row in enumerate(normalised[::-1].tolist()):
        plane = (z[:, None] * row[0] + row[3]) + y * row[1]
        torch.add(plane[..., None], x * row[2], out=grid[..., component])
    return grid


def _resample_axes(box: Tensor, affine: NDArray[np.float32], patch_size: Sequence[int]) -> Tensor:
    """Resample one axis after another: each output voxel is a weighted sum of two input voxels."""
    depth, height, width = (
        _interpolation_matrix(patch_size[k], box.shape[k + 1], float(affine[k, k]), float(affine[k, 3])).to(box.device)
        for k in range(3)
    )
    return apply_along_axes(box, depth, height, width)


def _interpolation_matrix(output: int, size: int, step: float, offset: float) -> Tensor:
    """Matrix (output, size) of linear interpolation at ``step * i + offset``, 0 outside."""
    position = torch.arange(output, dtype=torch.float32) * step + offset
    distance = (position[:, None] - torch.arange(size, dtype=torch.float32)).abs()
    return (1.0 - distance).clamp_(min=0.0)


def apply_along_axes(volume: Tensor, depth: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Apply one matrix (output, input) along each axis of (C, D, H, W).

    Matrix products beat one-dimensional convolutions and gathers at patch sizes: they run at the peak of the machine.
    """
    channels, d, h, _ = volume.shape
    volume = torch.matmul(volume.reshape(channels * d * h, -1), width.T).view(channels, d, h, -1)
    volume = torch.matmul(height, volume)
    return torch.matmul(depth, volume.flatten(2)).view(channels, -1, *volume.shape[2:])
