"""NIfTI files in and out, as arrays in (Z, Y, X) order."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip, isal_zlib
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from pedseg.cases import ImageFile
from pedseg.errors import PedsegError
from pedseg.files import atomic_path

_zlib: Any = isal_zlib  # neither isal nor nibabel's headers are typed
_gzip: Any = igzip
GZIP_MAGIC = b"\x1f\x8b"
GZIP_WRAPPER = 31  # zlib's window bits for a gzip header with the largest window
LARGEST_GUESS = 1 << 30  # a damaged file may claim any size in its trailer
NIFTI2_HEADER_SIZE = 540
VOLUME_AXES = 3


@dataclass(frozen=True, slots=True)
class Volume:
    """One 3-D image.

    Attributes:
        data: (Z, Y, X); the stored integers if the file has no intensity scaling, float32 otherwise.
        affine: (4, 4) from voxel (x, y, z) to world mm, as nibabel gives it.
        spacing_mm: voxel size along z, y, x.
    """

    data: NDArray[Any]
    affine: NDArray[np.float64]
    spacing_mm: tuple[float, float, float]


def read_bytes(path: Path) -> bytes:
    """Return the file as it is on disk.

    Raises:
        PedsegError: it is absent or may not be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise PedsegError(f"{path}: no such file; restore it or remove the case") from error
    except OSError as error:
        raise PedsegError(f"{path}: cannot be read ({error.strerror}); check the disk and the permissions") from error


def decode(raw: bytes, path: Path) -> Any:  # noqa: ANN401  (nibabel's images are not typed)
    """Parse a NIfTI-1 or -2 file, gzipped or plain, from its bytes; `path` is for messages only.

    Raises:
        PedsegError: the gzip stream is truncated or damaged, or what it holds is no whole NIfTI file.
    """
    plain = _gunzip(raw, path) if raw[:2] == GZIP_MAGIC else raw
    try:
        image = _parse(plain)
    except (WrapStructError, HeaderDataError, ImageFileError, ValueError) as error:
        raise PedsegError(f"{path}: is not a NIfTI file ({error}); download or export it again") from error
    needed = int(image.dataobj.offset) + image.header.get_data_dtype().itemsize * int(np.prod(image.shape))
    if len(plain) < needed:
        raise PedsegError(
            f"{path}: ends after {len(plain):,} of {needed:,} bytes, so voxels are missing; download or copy it again"
        )
    return image


def read_volume(source: ImageFile | Path) -> Volume:
    """Read one 3-D volume.

    Raises:
        PedsegError: the file is absent, damaged, no NIfTI file, or not 3-D (nor 4-D with the volume's index given).
    """
    file = source if isinstance(source, ImageFile) else ImageFile(source)
    return extract_volume(decode(read_bytes(file.path), file.path), file)


def read_images(files: Sequence[ImageFile]) -> tuple[Volume, ...]:
    """Read the modalities of a case; a 4-D file that holds several of them is decoded once.

    Raises:
        PedsegError: as `read_volume`.
    """
    images = {path: decode(read_bytes(path), path) for path in dict.fromkeys(file.path for file in files)}
    return tuple(extract_volume(images[file.path], file) for file in files)


def extract_volume(image: Any, file: ImageFile) -> Volume:  # noqa: ANN401
    """Take the volume that `file` names out of a decoded image; zeros on its grid for a sequence that is absent.

    Raises:
        PedsegError: the image is not 3-D, or the file has no such volume, or its voxels are no plain numbers.
    """
    if image.get_data_dtype().kind not in "iuf":
        raise PedsegError(f"{file.path}: has voxels of type {image.get_data_dtype()}; export it as plain numbers")
    data = _voxels(image)
    if file.volume is not None:
        if data.ndim != VOLUME_AXES + 1 or not 0 <= file.volume < data.shape[-1]:
            raise PedsegError(f"{file.path}: has shape {data.shape}, so no volume {file.volume}; give a 4-D file")
        data = data[..., file.volume]
    while data.ndim > VOLUME_AXES and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim != VOLUME_AXES or 0 in data.shape:
        raise PedsegError(f"{file.path}: has shape {data.shape}; a 3-D image is needed, so split or squeeze it")
    if data.dtype.kind == "f":
        data = data.astype(np.float32, copy=False)
    if file.absent:
        data = np.zeros(data.shape, dtype=np.int16)
    x, y, z = (float(zoom) for zoom in image.header.get_zooms()[:VOLUME_AXES])
    return Volume(np.ascontiguousarray(data.T), np.asarray(image.affine, dtype=np.float64), (z, y, x))


def _voxels(image: Any) -> NDArray[Any]:  # noqa: ANN401
    """Voxels (x, y, z, …) of a decoded image; where its file has no intensity scaling they are not copied."""
    stored = image.dataobj
    if (stored.slope, stored.inter) != (1.0, 0.0):
        return np.asanyarray(stored)
    buffer = image.file_map["image"].fileobj.getbuffer()
    voxels = np.frombuffer(buffer, stored.dtype, count=int(np.prod(stored.shape)), offset=stored.offset)
    return voxels.reshape(stored.shape, order="F")


def read_label(path: Path) -> NDArray[np.integer]:
    """Read a label map (Z, Y, X); whole numbers stored as floating point become integers.

    Raises:
        PedsegError: as `read_volume`, or a voxel is no whole number.
    """
    return integer_label(read_volume(path).data, path)


def integer_label(data: NDArray[Any], path: Path) -> NDArray[np.integer]:
    """Turn the voxels of a label map into integers without rounding any.

    Raises:
        PedsegError: a voxel is no whole number.
    """
    if data.dtype.kind in "iu":
        return data
    with np.errstate(invalid="ignore"):
        whole = data.astype(np.int32)
    if not np.array_equal(whole, data):
        raise PedsegError(
            f"{path}: is no label map: {data[whole != data].flat[0]:g} is no whole number (resampled with linear "
            "interpolation?); export it with nearest-neighbour interpolation"
        )
    return whole


def write_label_map(path: Path, label: NDArray[np.integer], *, like: Path | ImageFile) -> None:
    """Write a label map (Z, Y, X) as uint8 on the grid of the image `like`, atomically.

    The transforms with their codes, voxel sizes and units are the input's, bit for bit. Header fields that describe the
    input's intensities (display window, scaling, description) are cleared.

    Raises:
        PedsegError: the shapes differ, or `like` cannot be read.
    """
    source = like.path if isinstance(like, ImageFile) else like
    header = _read_header(source)
    shape = tuple(int(n) for n in header.get_data_shape()[:VOLUME_AXES])
    if shape != label.shape[::-1]:
        raise PedsegError(f"{path}: a label map of shape {label.shape[::-1]} does not fit {source} with {shape}")
    zooms = header.get_zooms()[:VOLUME_AXES]
    header.set_data_shape(shape)
    header.set_zooms(zooms)
    header.set_data_dtype(np.uint8)
    header.set_slope_inter(1, 0)
    for field in ("cal_min", "cal_max", "intent_code"):
        header[field] = 0
    header["descrip"] = b"pedseg label map"
    header["aux_file"] = b""
    # Without an affine of its own the new image takes both transforms from the header, unchanged.
    image: Any = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    plain = image(np.ascontiguousarray(label, dtype=np.uint8).T, None, header).to_bytes()
    with atomic_path(path) as temporary:
        temporary.write_bytes(_gzip.compress(plain, mtime=0) if path.suffix.lower() == ".gz" else plain)


def _gunzip(raw: bytes, path: Path) -> bytes:
    """Decompress in one step into a buffer of the size the trailer claims; else (several members) the general way."""
    claimed = int.from_bytes(raw[-4:], "little")
    try:
        plain: bytes = _zlib.decompress(raw, wbits=GZIP_WRAPPER, bufsize=min(max(claimed, 1), LARGEST_GUESS))
        if len(plain) == claimed:
            return plain
        return bytes(_gzip.decompress(raw))
    except EOFError as error:
        raise PedsegError(f"{path}: the gzip stream is truncated; download or copy it again") from error
    except (_zlib.error, zlib.error, OSError) as error:
        return _diagnose(raw, path, error)


def _diagnose(raw: bytes, path: Path, cause: Exception) -> bytes:
    try:
        return bytes(_gzip.decompress(raw))
    except EOFError as error:
        raise PedsegError(f"{path}: the gzip stream is truncated; download or copy it again") from error
    except (_zlib.error, zlib.error, OSError):
        raise PedsegError(f"{path}: the gzip stream is damaged ({cause}); download or copy it again") from cause


def _parse(plain: bytes) -> Any:  # noqa: ANN401
    size = {int.from_bytes(plain[:4], order) for order in ("little", "big")}
    return (nib.Nifti2Image if NIFTI2_HEADER_SIZE in size else nib.Nifti1Image).from_bytes(plain)


def _read_header(path: Path) -> Any:  # noqa: ANN401  (nibabel's header classes are not typed)
    try:
        return nib.load(path).header.copy()
    except (OSError, EOFError, ImageFileError, WrapStructError, HeaderDataError, zlib.error) as error:
        raise PedsegError(f"{path}: its geometry cannot be read ({error}); restore the file") from error
