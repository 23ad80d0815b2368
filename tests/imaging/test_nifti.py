"""NIfTI files in and out: array order, damaged files, and geometry that stays as it is."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pedseg.cases import ImageFile
from pedseg.errors import PedsegError
from pedseg.imaging import read_images, read_label, read_volume, write_label_map

OBLIQUE = np.array([[-0.98, 0.17, 0.1, 90.5], [0.17, -0.97, 0.05, 80.25], [0.0, 0.06, 2.9, -10.0], [0, 0, 0, 1]])


def write(path: Path, data: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Path:
    nib.save(nib.Nifti1Image(data, OBLIQUE), path)
    return path


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_volumes_are_read_in_zyx_order(tmp_path: Path, ending: str) -> None:
    data = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    volume = read_volume(write(tmp_path / f"a b{ending}", data))
    assert volume.data.dtype == np.int16
    assert np.array_equal(volume.data, data.T)
    assert np.allclose(volume.affine, OBLIQUE)
    assert volume.spacing_mm == pytest.approx(np.linalg.norm(OBLIQUE[:3, :3], axis=0)[::-1], abs=1e-5)


def test_scaled_intensities_are_floats(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.eye(4))
    image.header.set_slope_inter(0.5, 1.0)
    nib.save(image, tmp_path / "x.nii.gz")
    loaded = nib.load(tmp_path / "x.nii.gz").get_fdata().T
    assert np.allclose(read_volume(tmp_path / "x.nii.gz").data, loaded)


def test_one_volume_of_a_4d_file(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 99, (3, 4, 5, 2)).astype(np.int16)
    path = write(tmp_path / "x.nii.gz", data)
    volumes = read_images([ImageFile(path, 1), ImageFile(path, 0)])
    assert np.array_equal(volumes[0].data, data[..., 1].T)
    assert np.array_equal(volumes[1].data, data[..., 0].T)
    with pytest.raises(PedsegError, match="no volume 2"):
        read_volume(ImageFile(path, 2))
    with pytest.raises(PedsegError, match="3-D image is needed"):
        read_volume(path)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    good = write(tmp_path / "good.nii.gz", np.ones((20, 20, 20), dtype=np.int16)).read_bytes()
    cases = {
        "truncated": good[:-40],
        "damaged|truncated": good[:60] + bytes(20) + good[80:],
        "not a NIfTI": gzip.compress(b"hello" * 100),
        "ends after": gzip.compress(gzip.decompress(good)[:-100]),
    }
    for number, (message, content) in enumerate(cases.items()):
        path = tmp_path / f"bad{number}.nii.gz"
        path.write_bytes(content)
        with pytest.raises(PedsegError, match=message) as raised:
            read_volume(path)
        assert path.name in str(raised.value)
    with pytest.raises(PedsegError, match="no such file"):
        read_volume(tmp_path / "absent.nii.gz")


def test_labels_are_whole_numbers(tmp_path: Path) -> None:
    whole = np.array([0, 1, 2, 4], dtype=np.float32).reshape(1, 2, 2)
    assert np.array_equal(read_label(write(tmp_path / "a.nii.gz", whole)), whole.T)
    with pytest.raises(PedsegError, match=r"0\.5 is no whole number"):
        read_label(write(tmp_path / "b.nii.gz", whole / 2))


@pytest.mark.parametrize("codes", [(1, 1), (0, 2), (3, 0)])
def test_a_label_map_keeps_the_geometry_of_its_input(tmp_path: Path, codes: tuple[int, int]) -> None:
    image = nib.Nifti1Image(np.zeros((5, 6, 7), dtype=np.float32), OBLIQUE)
    image.set_qform(OBLIQUE, code=codes[0])
    image.set_sform(OBLIQUE + np.eye(4) * 0.01, code=codes[1])
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, tmp_path / "image.nii.gz")
    label = np.random.default_rng(0).integers(0, 4, (7, 6, 5))
    write_label_map(tmp_path / "out put" / "label.nii.gz", label, like=tmp_path / "image.nii.gz")
    before, after = nib.load(tmp_path / "image.nii.gz"), nib.load(tmp_path / "out put" / "label.nii.gz")
    assert np.array_equal(np.asarray(after.dataobj), label.T)
    assert after.get_data_dtype() == np.uint8
    assert np.array_equal(after.affine, before.affine)
    for field in ("qform_code", "sform_code", "quatern_b", "qoffset_x", "srow_x", "srow_z", "pixdim", "xyzt_units"):
        assert np.array_equal(after.header[field], before.header[field]), field
    with pytest.raises(PedsegError, match="does not fit"):
        write_label_map(tmp_path / "x.nii.gz", label[1:], like=tmp_path / "image.nii.gz")
    assert not (tmp_path / "x.nii.gz").exists()
