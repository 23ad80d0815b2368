"""NIfTI files in and out, as arrays in (Z, Y, X) order."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from isal import igzip
from numpy.typing import NDArray

from pedseg.cases import ImageFile
from pedseg.errors import PedsegError
from pedseg.files import atomic_path
from pedseg.imaging.decoding import StoredImage, decode, read_bytes, read_header, scaled_voxels
from pedseg.imaging.placement import placement

__all__ = [
    "VOLUME_AXES",
    "Volume",
    "decode",
    "extract_volume",
    "integer_label",
    "read_bytes",
    "read_images",
    "read_label",
    "read_volume",
    "write_label_map",
]

_gzip: Any = igzip  # not typed
VOLUME_AXES: Final = 3
LARGEST_LABEL: Final = 255  # what a label map of one byte can hold
WHOLE: Final = 1e-6  # of a label's value, within which a stored number stands for it: single precision, scaled
# What a label map takes from the header of its image: transforms with their codes, sizes and units.
GEOMETRY: Final = (
    "pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
    "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Volume:
    """One 3-D image.

    Attributes:
        data: (Z, Y, X); the stored integers if the file has no intensity scaling, float32 otherwise.
        affine: (4, 4) from voxel (x, y, z) to world mm.
        spacing_mm: voxel size along z, y, x.
        placed: whether the file says where it lies; if not, the affine is made up, see `imaging.placement.Placement`.
    """

    data: NDArray[Any]
    affine: NDArray[np.float64]
    spacing_mm: tuple[float, float, float]
    placed: bool = True


def read_volume(source: ImageFile | Path) -> Volume:
    """Read one 3-D volume.

    Raises:
        PedsegError: the file is absent, damaged, no NIfTI file, not 3-D (nor 4-D with the volume's index given), or its
            voxel size or transform is none.
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


def extract_volume(image: StoredImage, file: ImageFile) -> Volume:
    """Take the volume that `file` names out of a decoded image; zeros on its grid for a sequence that is absent.

    Raises:
        PedsegError: the image is not 3-D, or the file has no such volume, or its voxel size or transform is none.
    """
    data = _one_volume(scaled_voxels(image, file.path), file)
    if data.dtype.kind == "f":
        data = data.astype(np.float32, copy=False)
    data = data.astype(data.dtype.newbyteorder("="), copy=False)
    if file.absent:
        data = np.zeros(data.shape, dtype=np.int16)
    place = placement(image.header, file.path)
    return Volume(np.ascontiguousarray(data.T), place.affine, place.spacing_mm, place.placed)


def _one_volume(data: NDArray[Any], file: ImageFile) -> NDArray[Any]:
    """The volume (x, y, z) that `file` names."""
    if file.volume is not None:
        if data.ndim != VOLUME_AXES + 1 or not 0 <= file.volume < data.shape[-1]:
            raise PedsegError(f"{file.path}: has shape {data.shape}, so no volume {file.volume}; give a 4-D file")
        data = data[..., file.volume]
    while data.ndim > VOLUME_AXES and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim != VOLUME_AXES:
        raise PedsegError(f"{file.path}: has shape {data.shape}; a 3-D image is needed, so split or squeeze it")
    return data


def read_label(path: Path) -> NDArray[np.integer]:
    """Read a label map (Z, Y, X); whole numbers stored as floating point become integers.

    Raises:
        PedsegError: as `read_volume`, or a voxel is no label.
    """
    return integer_label(read_volume(path).data, path)


def integer_label(data: NDArray[Any], path: Path) -> NDArray[np.integer]:
    """Turn the voxels of a label map into integers; what lies within `WHOLE` of one stands for it.

    They are uint8, but for whole numbers that do not fit, which stay as they are stored: no convention has them, and
    who knows the convention says so.

    Raises:
        PedsegError: a voxel of floating point is no whole number, or not one from 0 to `LARGEST_LABEL`.
    """
    least, most = data.min(), data.max()
    if data.dtype.kind in "iu":
        return data.astype(np.uint8, copy=False) if least >= 0 and most <= LARGEST_LABEL else data
    if not (least > -1 and most <= LARGEST_LABEL):  # also if one is NaN
        odd = most if least > -1 else least
        raise PedsegError(
            f"{path}: is no label map: it holds {odd:g}, and voxel labels are whole numbers from 0 to {LARGEST_LABEL}; "
            "give the label map, or export it with the labels of the data set"
        )
    whole = np.rint(data)
    far = np.abs(data - whole) > WHOLE * np.maximum(whole, 1)
    if far.any():
        raise PedsegError(
            f"{path}: is no label map: {data[far].flat[0]:.9g} is no whole number (resampled with linear "
            "interpolation?); export it with nearest-neighbour interpolation"
        )
    labels: NDArray[np.uint8] = whole.astype(np.uint8)
    return labels


def write_label_map(path: Path, label: NDArray[np.integer], *, like: Path | ImageFile) -> None:
    """Write a label map (Z, Y, X) as uint8 on the grid of the image `like`, atomically; compressed if named ``.gz``.

    The transforms with their codes, voxel sizes, units and byte order are the input's, bit for bit. Nothing else of its
    header goes along: neither extensions nor texts (names, dates, history), nor what describes its intensities.

    Raises:
        PedsegError: the shapes differ, `like` cannot be read, or a label does not fit into a byte.
    """
    if label.min() < 0 or label.max() > LARGEST_LABEL:
        odd = label.min() if label.min() < 0 else label.max()
        raise PedsegError(f"{path}: label {odd} is not from 0 to {LARGEST_LABEL}; give a convention of such labels")
    write_array(path, label.astype(np.uint8, copy=False), like=like)


def write_array(path: Path, array: NDArray[Any], *, like: Path | ImageFile, slope: float = 1.0) -> None:
    """Write voxels (Z, Y, X) or volumes (volumes, Z, Y, X) in their own type, as `write_label_map` writes labels.

    Args:
        path: file to write.
        array: voxels as they are stored.
        like: image whose grid they lie on.
        slope: what a reader multiplies them with.

    Raises:
        PedsegError: the shapes differ, or `like` cannot be read.
    """
    source = like.path if isinstance(like, ImageFile) else like
    header = read_header(source)
    shape, own = header.shape[:VOLUME_AXES], array.shape[::-1]
    if shape != own[:VOLUME_AXES]:
        raise PedsegError(f"{path}: a label map of shape {own[:VOLUME_AXES]} does not fit {source} with {shape}")
    stored = array.astype(array.dtype.newbyteorder(header.fields.endianness))
    plain = _geometry_alone(header.fields, own, dtype=array.dtype, slope=slope) + np.ascontiguousarray(stored).tobytes()
    with atomic_path(path) as temporary:
        temporary.write_bytes(_gzip.compress(plain, mtime=0) if path.suffix.lower() == ".gz" else plain)


def _geometry_alone(
    source: Any,  # noqa: ANN401  (nibabel's headers are not typed)
    shape: tuple[int, ...],
    *,
    dtype: np.dtype[Any],
    slope: float,
) -> bytes:
    """Bytes before the voxels: a new header with the geometry of `source`, and no extension."""
    header = type(source)(endianness=source.endianness)
    header.set_data_shape(shape)
    header.set_data_dtype(dtype)
    header["vox_offset"], header["scl_slope"], header["scl_inter"] = header.single_vox_offset, slope, 0
    for field in GEOMETRY:
        header[field] = source[field]
    block: bytes = header.binaryblock
    return block.ljust(header.single_vox_offset, b"\0")
