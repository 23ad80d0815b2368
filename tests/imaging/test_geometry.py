"""Grids that are one in space are found, however their voxels are stored; others are not taken for one."""

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import from_matvec
from nibabel.eulerangles import euler2mat

from pedseg.imaging import Volume
from pedseg.imaging.geometry import axes_of, corners_mm, onto, same_grid, shift_mm

SHAPE = (5, 6, 7)  # x, y, z
OBLIQUE = from_matvec(euler2mat(0.2, -0.1, 0.3) @ np.diag([-1.0, -1.5, 2.0]), [70, 80, -60])
BRATS = np.diag([-1.0, -1.0, 1.0, 1.0])


def volume(affine: np.ndarray, shape: tuple[int, ...] = SHAPE) -> Volume:
    data = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    z, y, x = np.linalg.norm(affine[:3, :3], axis=0)[::-1]
    return Volume(np.ascontiguousarray(data.T), affine, (z, y, x))


def stored_as(one: Volume, code: str) -> Volume:
    """The same voxels in other axes, by nibabel."""
    image = nib.Nifti1Image(one.data.T, one.affine)
    turn = nib.orientations.ornt_transform(nib.io_orientation(one.affine), nib.orientations.axcodes2ornt(code))
    turned = image.as_reoriented(turn)
    spacing = tuple(float(side) for side in np.linalg.norm(turned.affine[:3, :3], axis=0)[::-1])
    return Volume(np.ascontiguousarray(np.asarray(turned.dataobj).T), turned.affine, spacing)  # type: ignore[arg-type]


CODES = ["".join(axes) for order in permutations(("LR", "AP", "SI")) for axes in product(*order)]


@pytest.mark.parametrize("affine", [BRATS, OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize("code", CODES)
def test_every_order_of_the_axes_comes_back(affine: np.ndarray, code: str) -> None:
    grid = volume(affine)
    other = stored_as(grid, code)
    assert axes_of(other.affine) == code
    back = onto(other, grid)
    assert back is not None
    assert np.array_equal(back.data, grid.data)
    assert np.array_equal(back.affine, grid.affine)
    assert back.spacing_mm == grid.spacing_mm
    assert back.data.flags.c_contiguous
    assert (back is other) == (code == axes_of(affine))


def rotated(affine: np.ndarray, radians: float) -> np.ndarray:
    """Turned about the x axis of the world."""
    turn: np.ndarray = from_matvec(euler2mat(0, 0, radians), [0, 0, 0])
    return np.asarray(turn @ affine)


def test_other_voxels_are_never_taken_for_the_same() -> None:
    grid = volume(BRATS, (240, 240, 155))
    turned = volume(rotated(BRATS, 0.0099), (240, 240, 155))
    assert np.abs(turned.affine - grid.affine).max() < 0.01  # what a comparison of the entries would let pass
    assert shift_mm(turned, grid) == pytest.approx(2.8, abs=0.1)
    shifted = BRATS.copy()
    shifted[0, 3] += 1  # by a whole voxel
    for affine in (
        turned.affine,
        shifted,
        np.diag([-1.0, -1.0, 1.002, 1.0]),
        np.full((4, 4), np.nan),
        np.zeros((4, 4)),
    ):
        assert onto(volume(affine, (240, 240, 155)), grid) is None
    assert onto(volume(BRATS, (240, 240, 154)), grid) is None
    assert onto(grid, volume(np.zeros((4, 4)), (240, 240, 155))) is None


def test_rounding_of_headers_is_let_pass() -> None:
    grid = volume(OBLIQUE, (240, 240, 155))
    header = nib.Nifti1Header()
    header.set_data_shape((240, 240, 155))
    header.set_qform(OBLIQUE)  # in single precision, as a quaternion
    assert same_grid(volume(header.get_qform(), (240, 240, 155)), grid)
    assert same_grid(volume(OBLIQUE + 1e-5, (240, 240, 155)), grid)


def test_corners_are_those_of_the_array() -> None:
    corners = corners_mm(volume(BRATS))
    assert {tuple(corner) for corner in corners} == set(product((0.0, -4.0), (0.0, -5.0), (0.0, 6.0)))
