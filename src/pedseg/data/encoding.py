"""How a prepared case lies on disk: compressed arrays in chunks that suit random patches.

Intensities stay the integers of the file and are normalised when a patch is read: exact where half-precision z-scores
are not, and they compress to less. The least int16 marks voxels outside the brain, so one array holds image and mask;
images that are no int16 carry the mask as one more channel. tests/benchmarks/bench_store.py measured the choices below.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from numpy.typing import NDArray

from pedseg.errors import PedsegError
from pedseg.labels import Region

OUTSIDE = int(np.iinfo(np.int16).min)  # intensity that stands for "not brain"
CHUNK = 32  # voxels per axis of the unit that is located in the file
BLOCK = 16  # voxels per axis of the unit that is decompressed; all channels of it together
PLANES = 8  # of a box that are normalised together, so that they stay in cached memory between the steps
FOREGROUND_LEAST = 10_000  # nnU-Net 2.8.1: voxels stored per region, or this share of them if that is more
FOREGROUND_SHARE = 0.01


def pack_image(raw: NDArray[Any], brain: NDArray[np.bool_]) -> NDArray[Any]:
    """Put image (C, d, h, w) and mask (d, h, w) into one array, of C channels if int16 and C + 1 otherwise."""
    if raw.dtype == np.int16:
        return np.where(brain, raw, np.int16(OUTSIDE))
    return np.concatenate([raw.astype(np.float32, copy=False), brain[None].astype(np.float32)])


def unpack_image(
    packed: NDArray[Any], *, mean: NDArray[np.float32], std: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Invert `pack_image` for any box and normalise: image (C, d, h, w), 0 outside an int16 image's brain, and mask."""
    image = np.empty((len(mean), *packed.shape[1:]), dtype=np.float32)
    brain = np.empty(packed.shape[1:], dtype=np.bool_)
    for first in range(0, len(brain), PLANES):
        planes = slice(first, first + PLANES)
        _unpack_planes(packed[:, planes], image[:, planes], brain[planes], mean=mean, std=std)
    return image, brain


def _unpack_planes(
    packed: NDArray[Any],
    image: NDArray[np.float32],
    brain: NDArray[np.bool_],
    *,
    mean: NDArray[np.float32],
    std: NDArray[np.float32],
) -> None:
    """Fill `image` and `brain`. Bits and a mask of ones give 0 outside at half the time of a copy under a mask."""
    integers = packed.dtype == np.int16
    if integers:
        np.not_equal(packed[0], OUTSIDE, out=brain)
    else:
        np.greater(packed[-1], 0, out=brain)
    inside = np.negative(brain.view(np.int8), dtype=np.int32)
    for channel, source, centre, scale in zip(image, packed, mean, std, strict=False):
        np.copyto(channel, source)
        np.subtract(channel, centre, out=channel)
        np.divide(channel, scale, out=channel)
        if integers:
            bits = channel.view(np.int32)
            np.bitwise_and(bits, inside, out=bits)
        else:
            np.copyto(channel, source, where=inside == 0)


def pack_masks(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Put label masks (3 or 4, d, h, w) into the bits of one array (d, h, w), WT in the lowest."""
    packed = np.zeros(masks.shape[1:], dtype=np.uint8)
    for bit, mask in enumerate(masks):
        packed |= mask.astype(np.uint8) << bit
    return packed


def unpack_masks(packed: NDArray[np.uint8], *, ignored: bool = False) -> NDArray[np.uint8]:
    """Invert `pack_masks`: (3, d, h, w) of 0 and 1, and with `ignored` a fourth mask, whether there was one or not."""
    return np.stack([(packed >> bit) & 1 for bit in range(len(Region) + ignored)])


def sample_foreground(regions: NDArray[np.bool_], case_id: str) -> list[NDArray[np.int16]]:
    """Draw voxels (N, 3) of each region, without replacement and the same ones whenever the case is prepared."""
    seed = int.from_bytes(hashlib.blake2b(case_id.encode(), digest_size=8).digest(), "little")
    rng = np.random.default_rng(seed)
    samples = []
    for mask in regions:
        voxels = np.flatnonzero(mask)
        number = max(min(FOREGROUND_LEAST, len(voxels)), int(np.ceil(FOREGROUND_SHARE * len(voxels))))
        chosen = np.sort(rng.choice(voxels, number, replace=False)) if number else voxels
        samples.append(np.stack(np.unravel_index(chosen, mask.shape), axis=1).astype(np.int16))
    return samples


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Compress `array` (whose last three axes are space) into `path`, and check what was written by reading it back.

    The frame is built in memory and written in one go, which leaves nothing to blosc2's own file handling.

    Raises:
        PedsegError: what was read back differs.
    """
    channels = array.shape[:-3]
    spatial = array.shape[-3:]
    compressed = blosc2.asarray(
        np.ascontiguousarray(array),
        chunks=(*channels, *(min(CHUNK, n) for n in spatial)),
        blocks=(*channels, *(min(BLOCK, n) for n in spatial)),
        cparams=blosc2.CParams(codec=blosc2.Codec.LZ4HC, clevel=5, filters=[blosc2.Filter.SHUFFLE], nthreads=1),
    )
    path.write_bytes(compressed.to_cframe())
    if not np.array_equal(open_array(path)[...], array):
        raise PedsegError(f"{path}: what was written cannot be read back; check the disk and the blosc2 version")


def open_array(path: Path) -> Any:  # noqa: ANN401  (blosc2 is not typed)
    """Map an array file into memory; nothing is decompressed before it is indexed, and then by this thread alone.

    Raises:
        PedsegError: the file is absent or damaged.
    """
    try:
        return blosc2.open(str(path), mmap_mode="r", dparams=blosc2.DParams(nthreads=1))
    except (OSError, RuntimeError, ValueError) as error:
        raise PedsegError(f"{path}: cannot be read ({error}); run `pedseg prepare` again") from error


def read_box(array: Any, start: Sequence[int], size: Sequence[int], *, fill: int) -> NDArray[Any]:  # noqa: ANN401
    """Read a box whose last three axes are space; where it leaves the array it is filled with `fill`."""
    shape = array.shape[-3:]
    inner: tuple[slice, ...] = tuple(
        slice(min(max(s, 0), n), max(min(s + k, n), 0)) for s, k, n in zip(start, size, shape, strict=True)
    )
    box: NDArray[Any]
    if all(side.stop - side.start == k for side, k in zip(inner, size, strict=True)):
        box = array[(..., *inner)]
        return box
    box = np.full((*array.shape[:-3], *size), fill, dtype=array.dtype)
    if all(side.stop > side.start for side in inner):
        target = tuple(slice(side.start - s, side.stop - s) for side, s in zip(inner, start, strict=True))
        channels = (slice(None),) * (box.ndim - len(target))
        box[channels + target] = array[channels + inner]
    return box
