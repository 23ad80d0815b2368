"""What a NIfTI file says of itself, read from its first bytes and judged before any voxel is.

Fields as in nifti1.h (https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h) and nifti2.h. The header is kept as it
is stored, so that a label map can carry its geometry bit for bit.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from pedseg.errors import PedsegError

LIMIT: Final = "PEDSEG_MAX_VOXELS"  # environment variable that sets the most voxels a file may have
MOST_VOXELS: Final = 500_000_000  # 0.25 mm for a whole head; the largest public brain MRI are a tenth of it
MOST_AXES: Final = 7
LARGEST_OFFSET: Final = 1 << 26  # of the voxels, after the header's extensions
PLAIN_KINDS: Final = "iuf"  # whole numbers and real ones, as numpy calls them
LONGEST_HEADER: Final = 540  # bytes, that of NIfTI-2

# The header of one file and that of a .hdr/.img pair, by size in bytes.
_KINDS: Final = {
    348: (nib.Nifti1Header, b"n+1\0", b"ni1\0"),
    540: (nib.Nifti2Header, b"n+2\0", b"ni2\0"),
}


@dataclass(frozen=True, slots=True)
class Header:
    """A header that describes voxels which can be read.

    Attributes:
        fields: nibabel's header, as stored (byte order included).
        shape: voxels along x, y, z and further axes.
        dtype: of a stored voxel, with its byte order.
        offset: bytes before the first voxel.
    """

    fields: Any  # nibabel's header classes are not typed
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    @property
    def needed(self) -> int:
        """Bytes of a whole file, decompressed."""
        return self.offset + self.dtype.itemsize * math.prod(self.shape)


def parse_header(start: bytes, path: Path) -> Header:
    """Read the header from the first bytes of a decompressed file; `path` is for messages only.

    Raises:
        PedsegError: there is none, it belongs to a .hdr/.img pair, describes nothing that can be (size, type or place
            of the voxels), or more voxels than are allowed.
    """
    fields = _fields(start, path)
    shape = _shape(fields, path)
    return Header(fields, shape, _dtype(fields, path), _offset(fields, path))


def most_voxels() -> int:
    """How many voxels a file may have.

    Raises:
        PedsegError: the environment variable is no whole number above 0.
    """
    given = os.environ.get(LIMIT, "").strip()
    if not given:
        return MOST_VOXELS
    if not (given.isascii() and given.isdigit() and int(given)):
        raise PedsegError(f"{LIMIT}={given}: is no whole number above 0; unset it, or give the most voxels of a file")
    return int(given)


def _fields(start: bytes, path: Path) -> Any:  # noqa: ANN401
    if not start:
        raise PedsegError(f"{path}: is not a NIfTI file (it is empty); download or export it again")
    sizes = {int.from_bytes(start[:4], "little"): "<", int.from_bytes(start[:4], "big"): ">"}
    size = next((size for size in _KINDS if size in sizes), None)
    if size is None or len(start) < size:
        what = f"it begins with {start[:16]!r}" if size is None else f"truncated: it ends after {len(start)} bytes"
        raise PedsegError(f"{path}: is not a NIfTI file ({what}); download or export it again")
    kind, single, pair = _KINDS[size]
    fields = kind(start[:size], endianness=sizes[size], check=False)
    magic = bytes(fields["magic"].tobytes()[:4])
    if magic == pair:
        raise PedsegError(
            f"{path}: is the header of a .hdr/.img pair; make one file of the two: nib-convert NAME.hdr NAME.nii.gz"
        )
    if magic != single:
        raise PedsegError(f"{path}: is not a NIfTI file (its magic is {magic!r}); download or export it again")
    return fields


def _shape(fields: Any, path: Path) -> tuple[int, ...]:  # noqa: ANN401
    dim = [int(n) for n in fields["dim"]]
    shape = tuple(dim[1 : dim[0] + 1])
    if not 1 <= dim[0] <= MOST_AXES or min(shape) < 1:
        raise PedsegError(f"{path}: has dim {dim}, which is no size of an image; download or export it again")
    limit = most_voxels()
    if math.prod(shape) > limit:
        raise PedsegError(
            f"{path}: its header speaks of {' × '.join(map(str, shape))} voxels, and at most {limit:,} are read; if "
            f"that is the size of the image, set the environment variable {LIMIT}, else export it again"
        )
    return shape


def _dtype(fields: Any, path: Path) -> np.dtype[Any]:  # noqa: ANN401
    code, bits = int(fields["datatype"]), int(fields["bitpix"])
    try:
        dtype: np.dtype[Any] = fields.get_data_dtype()
    except (HeaderDataError, KeyError) as error:
        raise PedsegError(f"{path}: has datatype {code}, which is none; download or export it again") from error
    if dtype.kind not in PLAIN_KINDS:
        raise PedsegError(f"{path}: has voxels of type {dtype}; export it as plain numbers")
    if bits not in (0, dtype.itemsize * 8):
        raise PedsegError(f"{path}: says {dtype} and {bits} bits for one voxel; download or export it again")
    return dtype


def _offset(fields: Any, path: Path) -> int:  # noqa: ANN401
    offset, least = float(fields["vox_offset"]), int(fields.single_vox_offset)
    if not (least <= offset <= LARGEST_OFFSET and offset.is_integer()):
        raise PedsegError(
            f"{path}: has its first voxel at byte {offset:g} (vox_offset), where none can be ({least} to "
            f"{LARGEST_OFFSET:,}); download or export it again"
        )
    return int(offset)
