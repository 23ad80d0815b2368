"""NIfTI files in and out: array order, damaged files, and geometry that stays as it is."""

import gzip
import struct
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


@pytest.mark.parametrize("value", [2.0, 2.0000002, 1.9999999, 2 * (1 - 9e-7)])
def test_labels_are_whole_numbers(tmp_path: Path, value: float) -> None:
    stored = np.array([0, 1, value, 4], dtype=np.float64).reshape(1, 2, 2)
    label = read_label(write(tmp_path / "a.nii.gz", stored))
    assert label.dtype == np.uint8
    assert np.array_equal(label.ravel(), [0, value // 1 if value >= 2 else 2, 1, 4])


def test_labels_scaled_by_a_slope_are_whole_numbers(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.array([0, 1, 2, 3], dtype=np.int16).reshape(1, 2, 2) * 10917, OBLIQUE)
    content = bytearray(image.to_bytes())
    struct.pack_into("<f", content, 112, 1 / 10917)
    (tmp_path / "x.nii.gz").write_bytes(content)
    stored = read_volume(tmp_path / "x.nii.gz").data
    assert not np.array_equal(stored, np.rint(stored))
    assert np.array_equal(read_label(tmp_path / "x.nii.gz").ravel(), [0, 2, 1, 3])


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (0.5, "f4", r"0\.5 is no whole number"),
        (2.01, "f4", r"2\.00999999 is no whole number"),
        (2.00001, "f8", r"2\.0000\d+ is no whole number"),
        (-0.5, "f4", r"-0\.5 is no whole number"),
        (300, "f4", "it holds 300"),
        (-1, "f4", "it holds -1"),
        (1e10, "f8", r"it holds 1e\+10"),
        (np.nan, "f4", "it holds nan"),
        (np.inf, "f4", "it holds inf"),
    ],
)
def test_what_is_no_label_is_named(tmp_path: Path, value: float, dtype: str, message: str) -> None:
    with pytest.raises(PedsegError, match=rf"x\.nii\.gz: is no label map: {message}"):
        read_label(write(tmp_path / "x.nii.gz", np.array([0, value, 0, 1], dtype=dtype).reshape(1, 2, 2)))


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


@pytest.mark.parametrize("value", [-1, 256])
def test_no_label_is_written_that_a_byte_cannot_hold(tmp_path: Path, value: int) -> None:
    image = write(tmp_path / "image.nii.gz", np.zeros((2, 2, 2), dtype=np.int16))
    with pytest.raises(PedsegError, match=f"label {value} is not from 0 to 255"):
        write_label_map(tmp_path / "x.nii.gz", np.full((2, 2, 2), value), like=image)
    assert not (tmp_path / "x.nii.gz").exists()


def test_a_label_map_takes_geometry_alone_from_its_image(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((2, 3, 4), dtype=np.float32), OBLIQUE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"PATIENT NAME: DOE^JANE" + b" " * 600))
    for field in ("db_name", "descrip", "intent_name", "aux_file"):
        image.header[field] = b"DOE^JANE"
    image.header["cal_max"], image.header["toffset"], image.header["glmax"] = 900, 7, 11
    image.header["scl_slope"], image.header["intent_code"], image.header["dim_info"] = 3, 5, 57
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, tmp_path / "image.nii.gz")
    assert b"DOE" in gzip.decompress((tmp_path / "image.nii.gz").read_bytes())
    write_label_map(tmp_path / "label.NII.GZ", np.ones((4, 3, 2), dtype=np.int64), like=tmp_path / "image.nii.gz")
    content = gzip.decompress((tmp_path / "label.NII.GZ").read_bytes())
    assert len(content) == 352 + 24
    header = nib.Nifti1Header(content[:348])
    blank = nib.Nifti1Header()
    blank["scl_slope"], blank["scl_inter"], blank["vox_offset"] = 1, 0, 352
    described = {"dim", "datatype", "bitpix", "pixdim", "xyzt_units", "qform_code", "sform_code"}
    for field in header.template_dtype.names:
        if field not in described and not field.startswith(("quatern", "qoffset", "srow")):
            assert header[field].tobytes() == blank[field].tobytes(), field
