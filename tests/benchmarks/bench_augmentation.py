"""Time reading and augmenting a labelled patch, on one thread, against nnU-Net's own chain.

Run: ``python tests/benchmarks/bench_augmentation.py --patch 128 --samples 60``. Both sides start from a case in memory
(4 float32 channels of 140 × 175 × 145) and end with an image and region masks: ours reads the box that the drawn
rotation and scaling need, nnU-Net crops its fixed larger box. With PEDSEG_PEERS_PYTHON set nnU-Net runs in that
interpreter; without, its figure measured before (565 ms + 37 ms for the crop of a 128³ patch) stands in.
Both are mixtures of patches on which much or nothing fires, so the mean over samples is what a training run pays.
"""

import argparse
import json
import os
import subprocess
import time
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
from pedseg.labels import Domain, Region

SHAPE = (140, 175, 145)
RECORDED_MS = 602.0

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
for _ in range(a["samples"] + 3):
    start = time.perf_counter()
    low = [np.random.randint(-(b - p) // 2, s - b + (b - p) // 2 + 1) if s >= p else (s - b) // 2
           for b, p, s in zip(box, patch, a["shape"])]
    cut = [[l, l + b] for l, b in zip(low, box)]
    x = torch.from_numpy(crop_and_pad_nd(image, cut, 0)).float()
    y = torch.from_numpy(crop_and_pad_nd(label, cut, -1, cast_cropped_to=np.int16)).to(torch.int16)
    chain(image=x, segmentation=y)
    print("TIME", time.perf_counter() - start)
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

    def read_label(self, start: tuple[int, ...], size: tuple[int, ...]) -> NDArray[np.uint8]:
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


def time_ours(patch: int, samples: int) -> NDArray[np.float64]:
    """Milliseconds per patch."""
    torch.set_num_threads(1)
    size = (patch,) * 3
    reader = LabelledPatches([(cast(CohortStore, MemoryStore()), "case")], patch_size=size, seed=1)
    chain = Augmentation(patch_size=size, seed=1)
    times = []
    for position in range(samples + 3):
        start = time.perf_counter()
        chain([reader.read(SampleKey(0, 0, Domain.SOURCE, position, foreground=False))])
        times.append(1e3 * (time.perf_counter() - start))
    return np.array(times[3:])


def time_peer(python: str, patch: int, samples: int) -> NDArray[np.float64]:
    """Milliseconds per patch of nnU-Net in its own process."""
    settings = json.dumps({"patch": patch, "samples": samples, "shape": SHAPE})
    command = [python, "-c", PEER_PROGRAM, settings]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    times = [float(line.split()[1]) for line in output.splitlines() if line.startswith("TIME")]
    return 1e3 * np.array(times[3:])


def compare(patch: int, samples: int, python: str | None) -> dict[str, Any]:
    """Mean seconds per patch of both sides and their ratio, printed with the medians; the peer's may be missing."""
    ours = time_ours(patch, samples)
    line = f"{patch}³: ours mean {ours.mean():.1f} ms, median {np.median(ours):.1f} ms"
    name, peer_ms = "nnunetv2", None
    if python:
        peer = time_peer(python, patch, samples)
        peer_ms = float(peer.mean())
        line += f"; nnU-Net mean {peer_ms:.1f} ms, median {np.median(peer):.1f} ms"
    elif patch == 128:
        name, peer_ms = "nnunetv2 (recorded)", RECORDED_MS
        line += f"; nnU-Net (recorded) mean {peer_ms:.0f} ms"
    ratio = None if peer_ms is None else float(ours.mean()) / peer_ms
    print(line if ratio is None else f"{line}; ratio of means {ratio:.2f}")
    return {
        "what": f"Read and augment one labelled patch of {patch}³, mean of {samples}",
        "ours_s": float(ours.mean()) / 1e3,
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
    python = os.environ.get("PEDSEG_PEERS_PYTHON")
    rows = [compare(patch, arguments.samples, python) for patch in arguments.patch]
    if arguments.json:
        write_json(arguments.json, [row for row in rows if row["ratio"] is not None])


if __name__ == "__main__":
    main()
