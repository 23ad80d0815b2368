"""Files are judged by their headers before their voxels are read, and only regular files are opened."""

import gzip
import os
import socket
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from pedseg.errors import PedsegError
from pedseg.files import read_json
from pedseg.imaging import read_volume, write_label_map

DATA = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
PLAIN = nib.Nifti1Image(DATA, np.diag([2.0, 2.0, 3.0, 1.0])).to_bytes()
Change = tuple[int, str, float]  # byte, its type and the value there


def changed(*changes: Change, plain: bytes = PLAIN) -> bytes:
    content = bytearray(plain)
    for offset, kind, value in changes:
        struct.pack_into(kind, content, offset, value)
    return bytes(content)


@pytest.mark.parametrize(
    "stored",
    [
        PLAIN,
        gzip.compress(PLAIN),
        gzip.compress(PLAIN) + bytes(512),
        gzip.compress(PLAIN[:200]) + gzip.compress(b"") + gzip.compress(PLAIN[200:]),
        PLAIN + bytes(100),
    ],
    ids=["plain", "gzip", "filled up with zeros", "three members", "a block that is filled up"],
)
@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_the_content_says_how_a_file_is_compressed(tmp_path: Path, stored: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(stored)
    assert np.array_equal(read_volume(path).data, DATA.T)
    write_label_map(tmp_path / "label.nii.gz", DATA.T % 3, like=path)
    assert np.array_equal(read_volume(tmp_path / "label.nii.gz").data, DATA.T % 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([(40, "<h", -5)], "no size of an image"),
        ([(40, "<h", 0)], "no size of an image"),
        ([(40, "<h", 9)], "no size of an image"),
        ([(42, "<h", -4)], "no size of an image"),
        ([(46, "<h", 0)], "no size of an image"),
        ([(42, "<h", 1625), (44, "<h", 1625), (46, "<h", 1625)], "1625 × 1625 × 1625 voxels.*PEDSEG_MAX_VOXELS"),
        ([(42, "<h", 700), (44, "<h", 700), (46, "<h", 700)], "voxels are missing"),
        ([(70, "<h", 77)], "datatype 77"),
        ([(70, "<h", 32), (72, "<h", 64)], "complex64; export it as plain numbers"),
        ([(70, "<h", 128), (72, "<h", 24)], "export it as plain numbers"),
        ([(72, "<h", 64)], "int16 and 64 bits"),
        ([(108, "<f", 0)], "first voxel at byte 0"),
        ([(108, "<f", -352)], "first voxel at byte -352"),
        ([(108, "<f", float("nan"))], "first voxel at byte nan"),
        ([(108, "<f", 1e12)], r"first voxel at byte 1e\+12"),
        ([(344, "<i", 0)], "its magic is"),
        ([(344, "<4s", b"ni1\0")], r"header of a \.hdr/\.img pair.*nib-convert"),
        ([(0, "<i", 349)], "not a NIfTI file"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_headers_that_cannot_be_are_refused(
    tmp_path: Path, changes: list[Change], message: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "x.nii.gz"
    path.write_bytes(pack(changed(*changes)))
    with pytest.raises(PedsegError, match=message) as raised:
        read_volume(path)
    assert str(path) in str(raised.value)


def bomb(header: bytes) -> bytes:
    """A gzip file of half a gigabyte of zeros after the header."""
    deflate = zlib.compressobj(1, wbits=31)
    megabyte = bytes(1 << 20)
    return b"".join([deflate.compress(header), *(deflate.compress(megabyte) for _ in range(512)), deflate.flush()])


def test_no_more_is_inflated_than_the_header_asks_for(tmp_path: Path) -> None:
    path = tmp_path / "x.nii.gz"
    stored = bomb(PLAIN)
    lying = stored[:-4] + len(PLAIN).to_bytes(4, "little")
    for content in (stored, lying, gzip.compress(PLAIN) + stored):
        path.write_bytes(content)
        tracemalloc.start()
        with pytest.raises(PedsegError, match="goes on after"):
            read_volume(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
        tracemalloc.stop()


def test_damage_of_the_stream_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.nii.gz"
    whole = gzip.compress(PLAIN)
    contents = {
        "gzip stream is truncated": whole[:-1],
        "gzip stream is damaged": whole[:-8] + bytes(4) + whole[-4:],
        "damaged": whole[:-4] + (1 << 20).to_bytes(4, "little"),
        "7 bytes follow the end of the gzip stream": whole + b"garbage",
        "is empty": b"",
        "voxels are missing": gzip.compress(PLAIN[:-1]),
    }
    for message, content in contents.items():
        path.write_bytes(content)
        with pytest.raises(PedsegError, match=message):
            read_volume(path)


def test_a_file_larger_than_its_header_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.nii.gz"
    path.write_bytes(PLAIN)
    os.truncate(path, 1 << 40)
    with pytest.raises(PedsegError, match="goes on after"):
        read_volume(path)


def test_the_bound_on_voxels_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.nii.gz"
    path.write_bytes(PLAIN)
    monkeypatch.setenv("PEDSEG_MAX_VOXELS", str(DATA.size))
    assert np.array_equal(read_volume(path).data, DATA.T)
    monkeypatch.setenv("PEDSEG_MAX_VOXELS", str(DATA.size - 1))
    with pytest.raises(PedsegError, match="at most 119 are read"):
        read_volume(path)
    monkeypatch.setenv("PEDSEG_MAX_VOXELS", "many")
    with pytest.raises(PedsegError, match="PEDSEG_MAX_VOXELS=many"):
        read_volume(path)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nii.gz")
    (tmp_path / "folder.nii.gz").mkdir()
    (tmp_path / "zero.nii.gz").symlink_to("/dev/zero")
    here = Path.cwd()
    os.chdir(tmp_path)  # the name of a socket may have a hundred letters only
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket.nii.gz")
    os.chdir(here)
    begun = time.monotonic()
    for kind, name in {"pipe": "pipe", "folder": "folder", "device": "zero", "socket": "socket"}.items():
        with pytest.raises(PedsegError, match=f"{name}.nii.gz: is a {kind}"):
            read_volume(tmp_path / f"{name}.nii.gz")
        with pytest.raises(PedsegError, match=f"is a {kind}"):
            read_json(tmp_path / f"{name}.nii.gz")
    server.close()
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_every_kind_of_number_in_either_byte_order(tmp_path: Path, kind: Any, order: str, dtype: str) -> None:
    header = kind.header_class(endianness=order)
    header.set_data_dtype(np.dtype(dtype))
    nib.save(kind(DATA.astype(dtype), np.diag([2.0, 2.0, 3.0, 1.0]), header), tmp_path / "x.nii.gz")
    volume = read_volume(tmp_path / "x.nii.gz")
    assert volume.data.dtype.isnative
    assert np.array_equal(volume.data, DATA.T)
    assert volume.spacing_mm == (3, 2, 2)
    write_label_map(tmp_path / "label.nii.gz", DATA.T % 3, like=tmp_path / "x.nii.gz")
    written: Any = nib.load(tmp_path / "label.nii.gz")
    assert isinstance(written, kind)
    assert written.header.endianness == order
    assert np.array_equal(np.asarray(written.dataobj), DATA % 3)


def test_leading_and_trailing_axes(tmp_path: Path) -> None:
    for shape in ((4, 5, 6, 1), (4, 5, 6, 1, 1)):
        nib.save(nib.Nifti1Image(DATA.reshape(shape), np.eye(4)), tmp_path / "x.nii.gz")
        assert np.array_equal(read_volume(tmp_path / "x.nii.gz").data, DATA.T)
    for data in (DATA[None], DATA[..., 0]):
        nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "x.nii.gz")
        with pytest.raises(PedsegError, match="a 3-D image is needed"):
            read_volume(tmp_path / "x.nii.gz")
