"""Time reading and augmenting a labelled patch, on one thread, against nnU-Net's own chain.

Run: ``python -m tests.benchmarks.bench_augmentation --patch 128 --samples 60``. Both sides start from a case in memory
(4 float32 channels of 140 × 175 × 145) and end with an image and region masks: ours reads the box that the drawn
rotation and scaling need, nnU-Net crops its fixed larger box. After ``make peers`` nnU-Net runs in that
interpreter, a patch of each side in turn; without, its figure measured before (565 ms + 37 ms for the crop of a 128³
patch) stands in. Processor time is given too, which other work on the machine disturbs less.
Both are mixtures of patches on which much or nothing fires, so the mean over samples is what a training run pays.
"""

import argparse
import itertools
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from pedseg.data.augmentation import Augmentation
from pedseg.data.datasets import LabelledPatches
from pedseg.data.sampling import SampleKey
from pedseg.data.store import CohortStore
from pedseg.files import write_json
from pedseg.hardware import describe_machine
from pedseg.labels import Domain, Region
from tests.conftest import find_peers_python

SHAPE = (140, 175, 145)
RECORDED_MS = 602.0
WARM_UP = 3  # patches that are not counted

PEER_PROGRAM = """
import json, sys, time
import numpy as np, torch
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
a = json.loads(sys.argv[1])
torch.set_num_threads(1)
np.random.seed(0)
torch.manual_seed(0)
angle = (-np.pi / 6, np.pi / 6)
patch = [a["patch"]] * 3
box = get_patch_size(patch, angle, angle, angle, (0.85, 1.25))
chain = nnUNetTrainer.get_training_transforms(patch, angle, None, (0, 1, 2), False, [True] * 4,
                                              regions=[(1, 2, 3), (1, 3), (3,)], foreground_labels=(1, 2, 3))
image = np.random.standard_normal((4, *a["shape"])).astype(np.float32)
label = np.zeros((1, *a["shape"]), dtype=np.int8)
label[:, :20] = -1
label[:, 50:95, 60:105, 40:85] = 2
label[:, 60:85, 70:95, 50:75] = 1
label[:, 66:80, 76:90, 56:70] = 3
print(flush=True)
for _ in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    low = [np.random.randint(-(b - p) // 2, s - b + (b - p) // 2 + 1) if s >= p else (s - b) // 2
           for b, p, s in zip(box, patch, a["shape"])]
    cut = [[l, l + b] for l, b in zip(low, box)]
    x = torch.from_numpy(crop_and_pad_nd(image, cut, 0)).float()
    y = torch.from_numpy(crop_and_pad_nd(label, cut, -1, cast_cropped_to=np.int16)).to(torch.int16)
    chain(image=x, segmentation=y)
    print(time.perf_counter() - wall, time.process_time() - cpu, flush=True)
"""


class MemoryCase:
    """A case of noise with a block for each region."""

    shape = SHAPE

    def __init__(self) -> None:
        self.image = np.random.default_rng(0).standard_normal((4, *SHAPE)).astype(np.float32)
        self.brain = np.ones((1, *SHAPE), dtype=bool)
        self.brain[:, :20] = False
        self.label = np.zeros((3, *SHAPE), dtype=np.uint8)
        self.label[0, 50:95, 60:105, 40:85] = 1
        self.label[1, 60:85, 70:95, 50:75] = 1
        self.label[2, 66:80, 76:90, 56:70] = 1

    def read_image(
        self, start: tuple[int, ...], size: tuple[int, ...]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Cut out image and brain mask."""
        return _cut(self.image, start, size), _cut(self.brain, start, size)

    def read_label(self, start: tuple[int, ...], size: tuple[int, ...], *, ignored: bool = False) -> NDArray[np.uint8]:
        """Cut out the region masks."""
        return _cut(self.label, start, size)

    def foreground(self, region: Region) -> NDArray[np.int32]:
        """Return every voxel of the region's block."""
        return np.argwhere(self.label[list(Region).index(region)]).astype(np.int32)


class MemoryStore:
    """A store of one case."""

    def __init__(self) -> None:
        self.case = MemoryCase()

    def open(self, case_id: str) -> MemoryCase:
        """Return the case."""
        del case_id
        return self.case


def _cut(volume: NDArray[Any], start: tuple[int, ...], size: tuple[int, ...]) -> NDArray[Any]:
    result = np.zeros((volume.shape[0], *size), volume.dtype)
    spans = [(s, max(s, 0), max(min(s + n, v), 0)) for s, n, v in zip(start, size, volume.shape[1:], strict=True)]
    inside = tuple(slice(low - s, max(high, low) - s) for s, low, high in spans)
    result[(slice(None), *inside)] = volume[(slice(None), *(slice(low, max(high, low)) for _, low, high in spans))]
    return result


def our_costs(patch: int) -> Iterator[tuple[float, float]]:
    """Seconds of one patch after another, on the clock and of the processor."""
    torch.set_num_threads(1)
    size = (patch,) * 3
    reader = LabelledPatches([(cast(CohortStore, MemoryStore()), "case")], patch_size=size, seed=1)
    chain = Augmentation(patch_size=size, seed=1)
    for position in itertools.count():
        wall, cpu = time.perf_counter(), time.process_time()
        chain([reader.read(SampleKey(0, 0, Domain.SOURCE, position, foreground=False))])
        yield time.perf_counter() - wall, time.process_time() - cpu


def peer_costs(python: Path, patch: int) -> Iterator[tuple[float, float]]:
    """The same of nnU-Net, in a process of its own that works when it is asked."""
    command = [str(python), "-c", PEER_PROGRAM, json.dumps({"patch": patch, "shape": SHAPE})]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        while True:
            print(file=process.stdin, flush=True)
            wall, cpu = map(float, process.stdout.readline().split())
            yield wall, cpu


def measure(patch: int, samples: int, python: Path | None) -> dict[str, NDArray[np.float64]]:
    """Milliseconds (samples, 2) of each side, in turn; the first patches of a side are not counted."""
    sides = {"ours": our_costs(patch)} | ({"nnU-Net": peer_costs(python, patch)} if python else {})
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(samples + WARM_UP):
        for name, costs in sides.items():
            found[name].append(next(costs))
    return {name: 1e3 * np.array(costs[WARM_UP:]) for name, costs in found.items()}


def compare(patch: int, samples: int, python: Path | None) -> dict[str, Any]:
    """Mean seconds per patch of both sides and their ratio, printed with the medians; the peer's may be missing."""
    found = measure(patch, samples, python)
    for name, costs in found.items():
        mean, median = costs.mean(axis=0), np.median(costs[:, 0])
        print(f"{patch}³ {name}: mean {mean[0]:.1f} ms (CPU {mean[1]:.1f}), median {median:.1f} ms")
    ours, peer = found["ours"].mean(axis=0), found["nnU-Net"].mean(axis=0) if python else None
    name, peer_ms, ratio = "nnunetv2", None, None
    if peer is not None:
        peer_ms = float(peer[0])
        print(f"{patch}³ ratio of means {ours[0] / peer[0]:.2f} (CPU {ours[1] / peer[1]:.2f})")
    elif patch == 128:
        name, peer_ms = "nnunetv2 (recorded)", RECORDED_MS
        print(f"{patch}³ ratio to the recorded mean of nnU-Net ({RECORDED_MS:.0f} ms) {ours[0] / peer_ms:.2f}")
    if peer_ms is not None:
        ratio = float(ours[0]) / peer_ms
    return {
        "what": f"Read and augment one labelled patch of {patch}³, mean of {samples}",
        "ours_s": float(ours[0]) / 1e3,
        "peer": name,
        "peer_s": None if peer_ms is None else peer_ms / 1e3,
        "ratio": ratio,
    }


def main() -> None:
    """Print milliseconds per patch, ours and nnU-Net's, and their ratio; write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patch", type=int, nargs="+", default=[128, 48], help="voxels per axis")
    parser.add_argument("--samples", type=int, default=60, help="patches per side")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured, in seconds")
    arguments = parser.parse_args()
    print(describe_machine())
    python = find_peers_python()
    rows = [compare(patch, arguments.samples, python) for patch in arguments.patch]
    if arguments.json:
        write_json(arguments.json, [row for row in rows if row["ratio"] is not None])


if __name__ == "__main__":
    main()
