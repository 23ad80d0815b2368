"""Bytes of NIfTI files: regular files only, the header before the voxels, and no more than the header asks for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from isal import isal_zlib
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling
from numpy.typing import NDArray

from pedseg.errors import PedsegError
from pedseg.files import open_regular
from pedseg.imaging.header import LONGEST_HEADER, Header, parse_header

_zlib: Any = isal_zlib  # not typed
GZIP_MAGIC: Final = b"\x1f\x8b"
GZIP_WRAPPER: Final = 31  # zlib's window bits for a gzip header with the largest window
CHUNK: Final = 1 << 17  # bytes in which a header lies, and the most that are inflated at a time
BLOCK: Final = 1 << 20  # bytes that each step should give: they stay in the processor's cache
LEAST_STEP: Final = 1 << 12
DEFLATE_RATIO: Final = 1032  # content of a gzip file, in its own size, at most (RFC 1951: 258 bytes for two bits)
SLACK: Final = 1 << 16  # bytes that may follow the last voxel: some programs fill up blocks
GZIP_OVERHEAD: Final = 1 << 20  # a gzip file is not larger than its content by more than this and a sixteenth


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A whole NIfTI file.

    Attributes:
        header: what it says of itself.
        voxels: (x, y, z, …) as stored, without intensity scaling; read-only.
    """

    header: Header
    voxels: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along x, y, z and further axes."""
        return self.header.shape


def read_bytes(path: Path) -> bytes:
    """Return the file as it is on disk, of a file that is larger than its header says only the first part.

    Raises:
        PedsegError: it is absent, may not be read, is no regular file, or begins with no header that can be.
    """
    with open_regular(path) as file:
        start = _read(file, path, CHUNK)
        needed = parse_header(_inflate_start(start, path), path).needed
        file.seek(0)
        return _read(file, path, needed + (needed // 16 + GZIP_OVERHEAD if _zipped(start) else SLACK + 1))


def read_header(path: Path) -> Header:
    """Read the header alone.

    Raises:
        PedsegError: as `read_bytes`.
    """
    with open_regular(path) as file:
        return parse_header(_inflate_start(_read(file, path, CHUNK), path), path)


def decode(raw: bytes, path: Path) -> StoredImage:
    """Parse a NIfTI-1 or -2 file, gzipped or plain whatever its name, from its bytes; `path` is for messages only.

    Raises:
        PedsegError: the gzip stream is truncated or damaged, or what it holds is no NIfTI file with just the voxels
            that its header speaks of.
    """
    header = parse_header(_inflate_start(raw[:CHUNK], path), path)
    plain = _inflate(raw, header.needed + SLACK, path) if _zipped(raw) else raw
    if len(plain) > header.needed + SLACK:
        raise PedsegError(
            f"{path}: goes on after the {header.needed:,} bytes that its header speaks of; download or export it again"
        )
    if len(plain) < header.needed:
        raise PedsegError(
            f"{path}: ends after {len(plain):,} of {header.needed:,} bytes, so voxels are missing; download or copy it "
            "again"
        )
    voxels = np.frombuffer(plain, header.dtype, count=int(np.prod(header.shape)), offset=header.offset)
    voxels.flags.writeable = False
    return StoredImage(header, voxels.reshape(header.shape, order="F"))


def scaled_voxels(image: StoredImage, path: Path) -> NDArray[Any]:
    """Voxels (x, y, z, …) with the intensity scaling of the file; where it has none they are not copied.

    Raises:
        PedsegError: the scaling is none.
    """
    if np.isinf(image.header.fields["scl_slope"]):  # NaN and 0 stand for none
        raise PedsegError(f"{path}: has an infinite scl_slope; correct it, or export the file again")
    try:
        slope, inter = image.header.fields.get_slope_inter()
    except HeaderDataError as error:
        raise PedsegError(f"{path}: has no usable intensity scaling ({error}); export it again") from error
    if slope is None or (slope, inter) == (1.0, 0.0):
        return image.voxels
    scaled: NDArray[Any] = apply_read_scaling(image.voxels, np.float64(slope), np.float64(inter))
    return scaled


def _zipped(raw: bytes) -> bool:
    return raw[:2] == GZIP_MAGIC


def _read(file: BinaryIO, path: Path, most: int) -> bytes:
    try:
        return file.read(most)
    except OSError as error:
        raise PedsegError(f"{path}: cannot be read ({error.strerror}); check the disk") from error


def _inflate_start(raw: bytes, path: Path) -> bytes:
    """The first bytes of a file's content, in which a header finds room."""
    if not _zipped(raw):
        return raw[:LONGEST_HEADER]
    start = b""
    try:
        while _zipped(raw) and len(start) < LONGEST_HEADER:
            stream = _zlib.decompressobj(wbits=GZIP_WRAPPER)
            start += stream.decompress(raw, LONGEST_HEADER - len(start))
            raw = stream.unused_data if stream.eof else b""
    except (_zlib.error, ValueError) as error:
        raise _damaged(error, path) from error
    return start


def _inflate(raw: bytes, most: int, path: Path) -> memoryview:
    """Content of a gzip file of one or several members, and at most one byte more than `most` of it."""
    view, plain = memoryview(raw), bytearray(min(most + 1, len(raw) * DEFLATE_RATIO))
    step = min(max(len(raw) * BLOCK // most, LEAST_STEP), CHUNK)
    stream, place, filled = _zlib.decompressobj(wbits=GZIP_WRAPPER), 0, 0
    while place < len(raw) and filled <= most:
        chunk = view[place : place + step]
        try:
            part = stream.decompress(chunk, most + 1 - filled)
        except (_zlib.error, ValueError) as error:
            raise _damaged(error, path) from error
        plain[filled : filled + len(part)] = part
        filled += len(part)
        place += len(chunk) - len(stream.unused_data)
        if stream.eof and place < len(raw):
            if _ends(raw, place, path):
                break
            stream = _zlib.decompressobj(wbits=GZIP_WRAPPER)
    if not stream.eof and filled <= most:
        raise PedsegError(f"{path}: the gzip stream is truncated; download or copy it again")
    return memoryview(plain)[:filled]


def _ends(raw: bytes, place: int, path: Path) -> bool:
    """Whether no member follows, but for zeros that fill up a block (which gzip allows)."""
    if raw[place : place + 2] == GZIP_MAGIC:
        return False
    if raw.count(0, place) != len(raw) - place:
        raise PedsegError(
            f"{path}: {len(raw) - place:,} bytes follow the end of the gzip stream; download or copy it again"
        )
    return True


def _damaged(error: Exception, path: Path) -> PedsegError:
    return PedsegError(f"{path}: the gzip stream is damaged ({error}); download or copy it again")
