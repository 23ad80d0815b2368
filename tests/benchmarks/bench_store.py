"""Random patches from the store against other formats: milliseconds (warm, and with a cold file cache), MB per case.

Run as ``python tests/benchmarks/bench_store.py [--case FOLDER]``; without a folder a synthetic case at 1 mm is made.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import blosc2
import numpy as np
from numpy.typing import NDArray

from pedseg.cases import Case, find_cases
from pedseg.data.encoding import OUTSIDE, open_array, pack_image, read_box, unpack_image, write_array
from pedseg.imaging import PreparedImage, prepare_image, read_images

ROUNDS = 15
Read = Callable[[tuple[int, ...]], NDArray[np.float32]]


def synthetic_case(folder: Path) -> Case:
    """Make one synthetic adult at 1 mm."""
    from pedseg.phantom.__main__ import main

    assert main(["--output", str(folder), "--adults", "1", "--children", "0", "--spacing", "1", "--workers", "1"]) == 0
    return find_cases(folder / "adult", cohort="adult", labelled=False).cases[0]


def readers(prepared: PreparedImage, folder: Path, patch: tuple[int, ...]) -> dict[str, tuple[Path, Read]]:
    """Write the case in each format; how to open it and read a normalised patch from it."""
    image = prepared.normalised()
    names = {"npy float32": "32.npy", "npy float16": "16.npy", "blosc2 float16": "16.b2nd", "pedseg": "raw.b2nd"}
    paths = {name: folder / file for name, file in names.items()}
    np.save(paths["npy float32"], image)
    np.save(paths["npy float16"], image.astype(np.float16))
    zstd = blosc2.CParams(codec=blosc2.Codec.ZSTD, clevel=5, nthreads=1)
    chunks, blocks = ((1, *(min(side, n) for n in image.shape[1:])) for side in (64, 32))
    half = blosc2.asarray(image.astype(np.float16), chunks=chunks, blocks=blocks, cparams=zstd)
    paths["blosc2 float16"].write_bytes(half.to_cframe())
    write_array(paths["pedseg"], pack_image(prepared.raw, prepared.brain))

    def from_npy(path: Path) -> Read:
        return lambda s: np.load(path, mmap_mode="r")[box(s)].astype(np.float32)

    def from_blosc2(start: tuple[int, ...]) -> NDArray[np.float32]:
        half: NDArray[np.float16] = open_array(paths["blosc2 float16"])[box(start)]
        return half.astype(np.float32)

    def from_store(start: tuple[int, ...]) -> NDArray[np.float32]:
        packed = read_box(open_array(paths["pedseg"]), start, patch, fill=int(OUTSIDE))
        return unpack_image(packed, mean=prepared.mean, std=prepared.std)[0]

    def box(start: tuple[int, ...]) -> tuple[slice, ...]:
        return (slice(None), *(slice(s, s + p) for s, p in zip(start, patch, strict=True)))

    reads: list[Read] = [from_npy(paths["npy float32"]), from_npy(paths["npy float16"]), from_blosc2, from_store]
    return {name: (path, read) for (name, path), read in zip(paths.items(), reads, strict=True)}


def forget(path: Path) -> None:
    """Drop the file from the page cache (Linux only)."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(
    path: Path, read: Read, starts: list[tuple[int, ...]], reference: list[NDArray[np.float32]], *, cold: bool
) -> tuple[float, float]:
    """Median milliseconds of a patch, and the largest difference from the exact one."""
    times, worst = [], 0.0
    for start, expected in zip(starts, reference, strict=True):
        if cold:
            forget(path)
        began = time.perf_counter()
        result = read(start)
        times.append(1000 * (time.perf_counter() - began))
        worst = max(worst, float(np.abs(result - expected).max()))
    return statistics.median(times), worst


def main() -> None:
    """Print a table for patches of 128³ and 48³."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", type=Path)
    given = parser.parse_args().case
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case = find_cases(given, cohort="case", labelled=False).cases[0] if given else synthetic_case(folder)
        began = time.perf_counter()
        prepared = prepare_image(read_images(case.images), spacing_mm=None)
        print(f"{case.id}: read and prepared in {time.perf_counter() - began:.2f} s")
        for side in (128, 48):
            patch = (side, side, side)
            rng = np.random.default_rng(0)
            room = [n - side for n in prepared.brain.shape]
            starts = [tuple(int(rng.integers(0, max(r, 0) + 1)) for r in room) for _ in range(ROUNDS)]
            found = readers(prepared, folder, patch)
            reference = [found["npy float32"][1](start) for start in starts]
            baseline = 0.0
            for label, (path, read) in found.items():
                warm, worst = measure(path, read, starts, reference, cold=False)
                cold = measure(path, read, starts, reference, cold=True)[0] if hasattr(os, "posix_fadvise") else 0.0
                baseline = baseline or warm
                size = path.stat().st_size / 1e6
                print(
                    f"{side}³ {label:14} warm {warm:6.2f} ms (ratio {warm / baseline:4.2f}) cold {cold:6.2f} ms "
                    f"{size:5.1f} MB, largest error {worst:.1e}"
                )


if __name__ == "__main__":
    main()
