"""Random patches from the store against memory-mapped numpy arrays: milliseconds and megabytes per case.

Run as ``python tests/benchmarks/bench_store.py [--case FOLDER]``; without a folder a synthetic case at 1 mm is made.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

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
    """Write the case in each format; how to read a normalised patch from it."""
    image = prepared.normalised()
    paths = {"npy float32": folder / "image32.npy", "npy float16": folder / "image16.npy", "pedseg": folder / "i.b2nd"}
    np.save(paths["npy float32"], image)
    np.save(paths["npy float16"], image.astype(np.float16))
    write_array(paths["pedseg"], pack_image(prepared.raw, prepared.brain))

    def from_npy(path: Path) -> Read:
        array = np.load(path, mmap_mode="r")
        return lambda s: array[(..., *(slice(a, a + p) for a, p in zip(s, patch, strict=True)))].astype(np.float32)

    array = open_array(paths["pedseg"])

    def from_store(start: tuple[int, ...]) -> NDArray[np.float32]:
        packed = read_box(array, start, patch, fill=int(OUTSIDE))
        return unpack_image(packed, mean=prepared.mean, std=prepared.std)[0]

    reads = {"npy float32": from_npy(paths["npy float32"]), "npy float16": from_npy(paths["npy float16"])}
    return {name: (path, reads.get(name, from_store)) for name, path in paths.items()}


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
                times = []
                worst = 0.0
                for start, expected in zip(starts, reference, strict=True):
                    began = time.perf_counter()
                    result = read(start)
                    times.append(1000 * (time.perf_counter() - began))
                    worst = max(worst, float(np.abs(result - expected).max()))
                median = statistics.median(times)
                baseline = baseline or median
                size = path.stat().st_size / 1e6
                print(
                    f"{side}³ {label:12} {median:7.2f} ms (ratio {median / baseline:4.2f}) {size:6.1f} MB, "
                    f"largest error {worst:.1e}"
                )


if __name__ == "__main__":
    main()
