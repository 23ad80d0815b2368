"""Grids of images in space: whether two are one, also where their voxels are stored in other axes."""

from collections.abc import Sequence
from dataclasses import replace

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from pedseg.imaging.nifti import Volume

# Of the shortest side of a voxel. Two programs that write one grid disagree by less (single-precision quaternions of a
# head lose up to 0.05 mm at its corners), and no interpolation would bring images nearer to each other.
CORNER_TOLERANCE = 0.1
AXES = 3
LPI = -np.eye(3)  # from the world (RAS) to axes that grow to left, back and bottom


def in_xyz(sizes: Sequence[float]) -> str:
    """Voxels or mm along z, y, x as messages show them, along x, y, z."""
    return " × ".join(f"{size:g}" for size in reversed(sizes))


def corners_mm(volume: Volume) -> NDArray[np.float64]:
    """World coordinates (8, 3) of the voxels in the corners of a grid."""
    last = np.array(volume.data.shape[::-1]) - 1
    places = np.array(list(np.ndindex(2, 2, 2))) * last
    corners: NDArray[np.float64] = places @ volume.affine[:AXES, :AXES].T + volume.affine[:AXES, AXES]
    return corners


def shift_mm(volume: Volume, grid: Volume) -> float:
    """How far apart corners of two grids of one shape lie at most; not a number if an affine is none."""
    return float(np.linalg.norm(corners_mm(volume) - corners_mm(grid), axis=1).max())


def same_grid(volume: Volume, grid: Volume) -> bool:
    """Whether every voxel lies where that of the same index does, within `CORNER_TOLERANCE`."""
    if volume.data.shape != grid.data.shape:
        return False
    side = np.linalg.norm(grid.affine[:AXES, :AXES], axis=0).min()
    return bool(shift_mm(volume, grid) <= CORNER_TOLERANCE * side)


def onto(volume: Volume, grid: Volume) -> Volume | None:
    """`volume` with its voxels in the order of `grid`, where both have the same ones: axes are exchanged and turned.

    Returns:
        The very volume where nothing is to be done; None where the voxels of the two lie in different places.
    """
    if same_grid(volume, grid):
        return volume
    try:
        between = np.linalg.inv(grid.affine) @ volume.affine  # from voxels of the one to voxels of the other
    except np.linalg.LinAlgError:
        return None
    turned = _turn(volume, between[:AXES, :AXES])
    if turned is None or not same_grid(turned, grid):
        return None
    return replace(turned, data=np.ascontiguousarray(turned.data), affine=grid.affine, spacing_mm=grid.spacing_mm)


def upright(volume: Volume) -> Volume:
    """`volume` with its axes as pictures have them: planes go down, rows to the back, columns to the patient's left."""
    turned = _turn(volume, LPI @ volume.affine[:AXES, :AXES])
    if turned is None:
        return volume
    x, y, z = (float(side) for side in np.linalg.norm(turned.affine[:AXES, :AXES], axis=0))
    return replace(turned, data=np.ascontiguousarray(turned.data), spacing_mm=(z, y, x))


def axes_of(affine: NDArray[np.float64]) -> str:
    """The directions in which the voxel indices x, y, z grow, such as LPS."""
    return "".join(letter or "?" for letter in nib.aff2axcodes(affine))


def _turn(volume: Volume, between: NDArray[np.float64]) -> Volume | None:
    """Exchange and flip axes (x, y, z) so that `between` becomes nearly the identity; None if it is no such turn."""
    order = np.abs(between).argmax(axis=1)  # of every axis of the grid: which one of the volume runs along it
    if sorted(order) != [0, 1, 2]:
        return None
    data, affine = volume.data.T.transpose(order), volume.affine.copy()
    affine[:, :AXES] = affine[:, order]
    for axis, old in enumerate(order):
        if between[axis, old] < 0:
            data = np.flip(data, axis)
            affine[:, AXES] += affine[:, axis] * (data.shape[axis] - 1)
            affine[:, axis] *= -1
    return replace(volume, data=data.T, affine=affine)
