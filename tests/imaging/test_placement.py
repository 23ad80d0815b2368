"""Voxel sizes in mm, transforms that agree with them, and headers that say neither."""

import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pedseg.errors import PedsegError
from pedseg.imaging import Volume, read_volume, write_label_map

AFFINE = np.diag([-8.0, -8.0, 8.0, 1.0])
AFFINE[:3, 3] = [80, 96, -72]
DATA = np.ones((3, 4, 5), dtype=np.int16)
PIXDIM, UNITS, QFORM, SFORM, QUATERNION, SROW = 76, 123, 252, 254, 256, 280  # bytes of the header


def image(tmp_path: Path, *changes: tuple[int, str, float], affine: np.ndarray = AFFINE) -> Path:
    """A file whose header has values changed at some bytes."""
    made = nib.Nifti1Image(DATA, affine)
    made.header.set_xyzt_units("mm")
    content = bytearray(made.to_bytes())
    for offset, kind, value in changes:
        struct.pack_into(kind, content, offset, value)
    (tmp_path / "x.nii.gz").write_bytes(content)
    return tmp_path / "x.nii.gz"


def scaled(factor: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[:3] *= factor
    return affine


@pytest.mark.parametrize(("unit", "factor"), [(1, 1e-3), (3, 1e3), (0, 1), (2, 1), (10, 1), (9, 1e-3)])
def test_metres_and_microns_become_mm(tmp_path: Path, unit: int, factor: float) -> None:
    path = image(tmp_path, (UNITS, "<b", unit), affine=scaled(factor))
    volume = read_volume(path)
    assert volume.spacing_mm == (8, 8, 8)
    assert volume.placed
    assert np.allclose(volume.affine, AFFINE, rtol=1e-6)
    write_label_map(tmp_path / "label.nii.gz", np.ones((5, 4, 3), dtype=np.uint8), like=path)
    before, after = nib.Nifti1Header(path.read_bytes()[:348]), nib.load(tmp_path / "label.nii.gz").header
    for field in ("pixdim", "xyzt_units", "srow_x", "srow_y", "srow_z", "quatern_b", "qoffset_x"):
        assert before[field].tobytes() == after[field].tobytes(), field


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([(PIXDIM + 4, "<f", 0.0)], "voxels of 0 × 8 × 8 mm .*no size"),
        ([(PIXDIM + 8, "<f", -8.0)], "voxels of 8 × -8 × 8 mm .*no size"),
        ([(PIXDIM + 12, "<f", float("nan"))], "voxels of 8 × 8 × nan mm .*no size"),
        ([(PIXDIM + 12, "<f", float("inf"))], "voxels of 8 × 8 × inf mm .*no size"),
        ([(UNITS, "<b", 5)], "xyzt_units 5"),
        ([(UNITS, "<b", 1)], r"8000 × 8000 × 8000 mm \(8 × 8 × 8 m in the header\)"),
        ([(PIXDIM + 4, "<f", 8.1)], "contradicts itself: voxels of 8.1 × 8 × 8 mm by pixdim and of 8 × 8 × 8"),
        ([(SROW, "<f", float("nan"))], "NaN or infinite values in its sform"),
        ([(SROW, "<f", 0.0), (SROW + 16, "<f", 8.0)], "axes lie in one plane"),
        ([(SROW, "<f", 0.0)], "contradicts itself"),
        ([(SFORM, "<h", 77)], "sform_code 77"),
        ([(SFORM, "<h", -1)], "sform_code -1"),
        ([(SFORM, "<h", 0), (QFORM, "<h", 1), (QUATERNION, "<f", 1.5)], "no rotation"),
        ([(SFORM, "<h", 0), (QFORM, "<h", 1), (QUATERNION, "<f", float("nan"))], "NaN or infinite values in its qform"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, changes: list[tuple[int, str, float]], message: str) -> None:
    path = image(tmp_path, *changes)
    with pytest.raises(PedsegError, match=message) as raised:
        read_volume(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(("size", "right"), [(1000.0, False), (30.5, False), (30, True), (0.05, True), (0.04, False)])
def test_voxels_of_a_head_have_a_size(tmp_path: Path, size: float, *, right: bool) -> None:
    path = image(tmp_path, affine=np.diag([size, size, size, 1.0]))
    if right:
        assert read_volume(path).spacing_mm == pytest.approx((size,) * 3)
        return
    with pytest.raises(PedsegError, match=rf"{size:g} × {size:g} × {size:g} mm.*0\.05 to 30 mm is possible"):
        read_volume(path)


def test_a_contradiction_below_a_hundredth_is_rounding(tmp_path: Path) -> None:
    assert read_volume(image(tmp_path, (PIXDIM + 4, "<f", 8.07))).spacing_mm[2] == pytest.approx(8.07)


def test_a_file_without_transform_says_so(tmp_path: Path) -> None:
    path = image(tmp_path, (SFORM, "<h", 0), (QFORM, "<h", 0))
    volume = read_volume(path)
    assert not volume.placed
    assert volume.spacing_mm == (8, 8, 8)
    write_label_map(tmp_path / "label.nii.gz", np.ones((5, 4, 3), dtype=np.uint8), like=path)
    label = read_volume(tmp_path / "label.nii.gz")
    assert not label.placed
    assert np.array_equal(label.affine, volume.affine)


@pytest.mark.parametrize(("qfac", "sign"), [(0.0, 1), (1.0, 1), (-1.0, -1)])
def test_qfac_is_read_as_nifti_io_does(tmp_path: Path, qfac: float, sign: int) -> None:
    changes = [(SFORM, "<h", 0), (QFORM, "<h", 1), (PIXDIM, "<f", qfac)]
    volume: Volume = read_volume(image(tmp_path, *changes, affine=np.diag([8.0, 8.0, 8.0, 1.0])))
    assert np.allclose(volume.affine, np.diag([8, 8, 8 * sign, 1]))
