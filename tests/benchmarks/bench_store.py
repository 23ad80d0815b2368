"""Random patches from the store against other formats, on one thread: milliseconds warm and cold, MB per case.

Run as ``python -m tests.benchmarks.bench_store [--case FOLDER]``; without a folder a synthetic case at 1 mm is made.
After ``make peers`` nnU-Net writes and reads its own file in that interpreter. Each patch is read in every
format before the next, and ratios are medians over the same patches: of time on the clock, and of processor time, which
other work on the machine disturbs less. "Cold" empties the file cache before each read (Linux).
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import blosc2
import numpy as np
from numpy.typing import NDArray

from pedseg.cases import Case, find_cases
from pedseg.data.encoding import OUTSIDE, open_array, pack_image, read_box, unpack_image, write_array
from pedseg.hardware import describe_machine
from pedseg.imaging import PreparedImage, prepare_image, read_images
from tests.conftest import find_peers_python

ROUNDS = 15
Start = tuple[int, ...]
Read = Callable[[Start], NDArray[np.float32]]

# Writes a case as nnU-Net's preprocessor does and reads patches as its loader does: open, crop, to a tensor.
PEER_PROGRAM = """
import sys, time
import numpy as np, torch
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2, comp_blosc2_params
source, folder, patch = sys.argv[1], sys.argv[2], int(sys.argv[3])
image = np.load(source)
blocks, chunks = comp_blosc2_params(image.shape, (patch,) * 3, image.itemsize)
label = np.zeros((1, *image.shape[1:]), dtype=np.int16)
name = f"case_{patch}"
nnUNetDatasetBlosc2.save_case(image, label, {}, f"{folder}/{name}", chunks=chunks, blocks=blocks)
cases = nnUNetDatasetBlosc2(folder, [name])
print(flush=True)
for line in sys.stdin:
    box = [[int(s), int(s) + patch] for s in line.split()]
    wall, cpu = time.perf_counter(), time.process_time()
    data, *_ = cases.load_case(name)
    patch_read = torch.from_numpy(crop_and_pad_nd(data, box, 0)).float()
    print(time.perf_counter() - wall, time.process_time() - cpu, flush=True)
"""


class Cost(NamedTuple):
    """Milliseconds of a read, on the clock and of the processor."""

    wall: float
    cpu: float


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


class Peer:
    """nnU-Net's loader in its own process, which reads a patch when it is told to."""

    def __init__(self, python: Path, image: Path, side: int) -> None:
        command = [str(python), "-c", PEER_PROGRAM, str(image), str(image.parent), str(side)]
        variables = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.path = image.parent / f"case_{side}.b2nd"
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=variables
        )
        self._answer()

    def read(self, start: Start) -> Cost:
        """Let it read, and return what that took it."""
        assert self.process.stdin
        print(*start, file=self.process.stdin, flush=True)
        wall, cpu = map(float, self._answer().split())
        return Cost(1e3 * wall, 1e3 * cpu)

    def _answer(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "nnU-Net's process ended"
        return line

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def time_read(read: Read, start: Start, expected: NDArray[np.float32]) -> tuple[Cost, float]:
    """Cost of a patch, and its largest difference from the exact one."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = read(start)
    cost = Cost(1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu))
    return cost, float(np.abs(result - expected).max())


def measure(
    found: Mapping[str, tuple[Path, Read]], peer: Peer | None, starts: list[Start], *, cold: bool
) -> tuple[dict[str, list[Cost]], dict[str, float]]:
    """Costs and largest error of each format, all of them patch by patch."""
    costs: dict[str, list[Cost]] = {name: [] for name in found}
    worst = dict.fromkeys(found, 0.0)
    for start in starts:
        expected = found["npy float32"][1](start)
        for name, (path, read) in found.items():
            if cold:
                forget(path)
            cost, error = time_read(read, start, expected)
            costs[name].append(cost)
            worst[name] = max(worst[name], error)
        if peer:
            if cold:
                forget(peer.path)
            costs.setdefault("nnU-Net", []).append(peer.read(start))
    return costs, worst


def ratios(costs: Mapping[str, list[Cost]], name: str, reference: str) -> str:
    """Median ratio of two formats over the same patches, on the clock and of the processor."""
    pairs = list(zip(costs[name], costs.get(reference, []), strict=False))
    if not pairs:
        return ""
    wall, cpu = (statistics.median(a[i] / b[i] for a, b in pairs) for i in range(2))
    return f", ratio to {reference} {wall:.2f} (CPU {cpu:.2f})"


def report(prepared: PreparedImage, folder: Path, side: int) -> None:
    """Print the table of one patch size."""
    rng = np.random.default_rng(0)
    room = [n - side for n in prepared.brain.shape]
    starts = [tuple(int(rng.integers(0, max(r, 0) + 1)) for r in room) for _ in range(ROUNDS)]
    found = readers(prepared, folder, (side, side, side))
    python = find_peers_python()
    peer = Peer(python, found["npy float32"][0], side) if python else None
    measure(found, peer, starts, cold=False)
    warm, worst = measure(found, peer, starts, cold=False)
    cold = measure(found, peer, starts, cold=True)[0] if hasattr(os, "posix_fadvise") else warm
    paths = {name: path for name, (path, _) in found.items()} | ({"nnU-Net": peer.path} if peer else {})
    for name, costs in warm.items():
        wall, cpu = (statistics.median(values) for values in zip(*costs, strict=True))
        late = statistics.median(cost.wall for cost in cold[name])
        error = f", largest error {worst[name]:.1e}" if name in worst else ""
        print(
            f"{side}³ {name:14} warm {wall:6.2f} ms (CPU {cpu:6.2f}), cold {late:6.2f} ms, "
            f"{paths[name].stat().st_size / 1e6:5.1f} MB{error}"
        )
    for reference in ("npy float32", "nnU-Net"):
        print(f"{side}³ pedseg warm{ratios(warm, 'pedseg', reference)}")
    if peer:
        peer.close()


def main() -> None:
    """Print a table for patches of 128³ and 48³."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", type=Path)
    given = parser.parse_args().case
    print(describe_machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case = find_cases(given, cohort="case", labelled=False).cases[0] if given else synthetic_case(folder)
        prepared = prepare_image(read_images(case.images), spacing_mm=None)
        for side in (128, 48):
            report(prepared, folder, side)


if __name__ == "__main__":
    main()
