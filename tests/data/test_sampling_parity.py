"""Patch sampling against nnU-Net's data loader: which samples are forced onto tumour, and where patches lie.

Both sides draw `DRAWS` patches of one case, of the size of a cropped BraTS case, with fixed seeds. If two samples of
that size come from one distribution, their Kolmogorov-Smirnov distance exceeds `BOUND` in fewer than 1 of 1,000 tries.

nnU-Net validates on patches of the network's size, and there the distributions are equal. It trains on patches cut from
the middle of a larger box (205 for 128 voxels), whose start has the same law but for one voxel: the box's margin of 77
is odd, so that a patch may start at -1 where ours starts at 0.
"""

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from pedseg.data.datasets import LabelledPatches
from pedseg.data.encoding import sample_foreground
from pedseg.data.sampling import PatchSampler, foreground_start, is_foreground
from pedseg.data.store import CohortStore
from pedseg.labels import Region
from tests.exactness import Exact

DRAWS = 20_000
BOUND = 1.95 * np.sqrt(2 / DRAWS)  # Smirnov's asymptotic quantile: sqrt(-ln(0.001 / 2) / 2) = 1.95
SHAPE, PATCH = (140, 175, 145), (128, 128, 128)
BATCHES = list(range(2, 65))
CASES = list("abcde")
# Slices that each region's voxels lie in, so that the forced one can be told from the patch.
SLICES = {Region.WT: (60, 80), Region.TC: (85, 100), Region.ET: (105, 110)}
PEER = """
import json, sys
import numpy as np, torch
from types import SimpleNamespace
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
a = json.loads(sys.argv[1])
voxels = np.load(sys.argv[2])
angle = (-np.pi / 6, np.pi / 6)
box = get_patch_size(a["patch"], angle, angle, angle, (0.85, 1.25)).tolist()
labels = SimpleNamespace(all_labels=[1, 2, 3], has_ignore_label=False)
cases = SimpleNamespace(identifiers=a["cases"])

def loader(batch, size):
    return nnUNetDataLoader(cases, batch, size, a["patch"], labels, oversample_foreground_percent=0.33)

forced = {b: [j for j in range(b) if loader(b, a["patch"]).get_do_oversample(j)] for b in a["batches"]}
np.random.seed(0)
pairs = loader(2, a["patch"])
drawn = [str(case) for _ in range(a["draws"] // 2) for case in pairs.get_indices()]
locations = {k: np.pad(voxels[k], ((0, 0), (1, 0))) for k in ("wt", "tc", "et")} | {"absent": []}
# Where the untransformed patch lies in its box: a volume of coordinates through the spatial transform.
index = torch.arange(box[0]).float().view(1, -1, 1, 1).expand(1, *box).contiguous()
middle = SpatialTransform(a["patch"], 0, False, p_rotation=0, p_scaling=0, p_elastic_deform=0)(image=index)["image"]
shift = int(middle[0, 0, 0, 0])
starts = {"shift": shift, "box": box[0]}
for name, size, offset in (("validation", a["patch"], 0), ("training", box, shift)):
    patches = loader(2, size)
    for kind, force in (("random", False), ("forced", True)):
        found = [patches.get_bbox(a["shape"], force, locations)[0] for _ in range(a["draws"])]
        starts[f"{name} {kind}"] = (np.array(found) + offset).tolist()
only = [patches.get_bbox(a["shape"], True, {"wt": [v]})[0] for v in np.pad(voxels["single"], ((0, 0), (1, 0)))]
starts["single"] = (np.array(only) + shift).tolist()
stored = DefaultPreprocessor._sample_foreground_locations(voxels["label"][None], [(1, 2, 3), (1, 3), (3,)])
json.dump({"forced": forced, "cases": drawn, "starts": starts, "stored": [len(v) for v in stored.values()]},
          open(sys.argv[3], "w"))
"""


def row(subject: str, *, tolerance: float, unit: str = "") -> pytest.MarkDecorator:
    """Row of the page on exactness."""
    return pytest.mark.exact(subject, section="Training", peer="nnunetv2", tolerance=tolerance, unit=unit)


def three_sigma(share: float) -> float:
    """Three standard deviations of the difference of two relative frequencies over `DRAWS`."""
    return 3 * float(np.sqrt(2 * share * (1 - share) / DRAWS))


class Recorder:
    """A store of cases that are all one, of `SHAPE` with each region in its own slices; notes what is read from it."""

    shape = SHAPE

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        rows = [
            (rng.integers(*SLICES[region], 500), rng.integers(5, 170, 500), rng.integers(5, 140, 500))
            for region in Region
        ]
        self.voxels = {region: np.stack(row, axis=1) for region, row in zip(Region, rows, strict=True)}
        self.opened: list[str] = []
        self.starts: list[tuple[int, ...]] = []

    def open(self, case_id: str) -> "Recorder":
        """Note the case."""
        self.opened.append(case_id)
        return self

    def foreground(self, region: Region) -> NDArray[np.int32]:
        """Voxels of a region."""
        return self.voxels[region].astype(np.int32)

    def read_image(self, start: tuple[int, ...], size: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Note the start."""
        assert tuple(size) == PATCH
        self.starts.append(start)
        return np.zeros((4, 1, 1, 1), dtype=np.float32), np.zeros((1, 1, 1, 1), dtype=bool)

    def read_label(self, start: tuple[int, ...], size: tuple[int, ...], *, ignored: bool = False) -> NDArray[np.uint8]:
        """Nothing of interest."""
        del start, size
        return np.zeros((3, 1, 1, 1), dtype=np.uint8)


def label_map() -> NDArray[np.int8]:
    """More than 10,000 voxels of WT, more than 1,000,000 of it and TC, few of ET."""
    label = np.zeros((110, 110, 110), dtype=np.int8)
    label[:105] = 2
    label[:, :50, :30] = 1
    label[:9, :9, :9] = 3
    return label


def corners() -> NDArray[np.int64]:
    """Voxels next to and away from every border of `SHAPE`."""
    sides = [[0, 62, 63, 64, 65, n // 2, n - 65, n - 64, n - 1] for n in SHAPE]
    return np.stack(np.meshgrid(*sides, indexing="ij"), -1).reshape(-1, 3)


@pytest.fixture(scope="module")
def peer(peers_python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What nnU-Net's loader draws, in its own process."""
    folder = tmp_path_factory.mktemp("peer")
    wt, tc, et = Recorder().voxels.values()
    np.savez(folder / "voxels.npz", label=label_map(), single=corners(), wt=wt, tc=tc, et=et)
    settings = {"patch": PATCH, "shape": SHAPE, "batches": BATCHES, "draws": DRAWS, "cases": CASES}
    command = [
        str(peers_python),
        "-c",
        PEER,
        json.dumps(settings),
        str(folder / "voxels.npz"),
        str(folder / "out.json"),
    ]
    subprocess.run(command, check=True)
    found: dict[str, Any] = json.loads((folder / "out.json").read_text())
    return found


@row("Sampling: samples of a batch of 2 to 64 that only one side forces onto tumour", tolerance=0)
def test_forced_samples_of_a_batch(peer: dict[str, Any], exact: Exact) -> None:
    """A batch of one, which nnU-Net never forces, is outside: here two of them count as a batch of two."""
    for batch in BATCHES:
        ours = {i for i in range(batch) if is_foreground(i, batch, 0, fraction=0.33)}
        exact(len(ours ^ set(peer["forced"][str(batch)])))


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    """Cases and starts that training reads in batches of two: one random patch, one forced onto tumour."""
    store = Recorder()
    reader = LabelledPatches(
        [(cast(CohortStore, store), case) for case in CASES], patch_size=PATCH, seed=1, transform=False
    )
    keys = [key for batch in PatchSampler(batch_size=2, steps=DRAWS, adapt=False) for key in batch]
    for key in keys:
        reader.read(key)
    starts, forced = np.array(store.starts), np.array([key.foreground for key in keys])
    return {"cases": store.opened[:DRAWS], "random": starts[~forced], "forced": starts[forced]}


def largest_gap(ours: Any, theirs: Any) -> float:
    """Largest difference of two tables of relative frequencies."""
    a, b = Counter(ours), Counter(theirs)
    return max(abs(a[key] / a.total() - b[key] / b.total()) for key in a.keys() | b.keys())


@row(
    f"Sampling: frequency of each of 5 cases, {DRAWS:,} draws (three standard deviations)", tolerance=three_sigma(1 / 5)
)
def test_cases(ours: dict[str, Any], peer: dict[str, Any], exact: Exact) -> None:
    exact(largest_gap(ours["cases"], peer["cases"]))


@row(
    f"Sampling: frequency of each region among {DRAWS:,} forced patches (three standard deviations)",
    tolerance=three_sigma(1 / 3),
)
def test_forced_regions(ours: dict[str, Any], peer: dict[str, Any], exact: Exact) -> None:
    def regions(starts: Any) -> list[int]:
        found: list[int] = np.digitize(np.array(starts)[:, 0] + PATCH[0] // 2, [82, 102]).tolist()
        return found

    assert set(regions(ours["forced"])) == {0, 1, 2}
    exact(largest_gap(regions(ours["forced"]), regions(peer["starts"]["validation forced"])))


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            kind,
            marks=row(f"Sampling: starts of {DRAWS:,} {kind} patches, Kolmogorov-Smirnov distance", tolerance=BOUND),
        )
        for kind in ("random", "forced")
    ],
)
def test_distribution_of_starts(kind: str, ours: dict[str, Any], peer: dict[str, Any], exact: Exact) -> None:
    theirs = np.array(peer["starts"][f"validation {kind}"])
    for axis in range(3):
        exact(ks_2samp(ours[kind][:, axis], theirs[:, axis]).statistic)


@row(
    "Sampling: starts of training patches, which nnU-Net cuts from a box with an odd margin", tolerance=1, unit="voxels"
)
def test_training_starts_are_within_one_voxel(ours: dict[str, Any], peer: dict[str, Any], exact: Exact) -> None:
    """Ends of the range of random starts, and the start that each of many voxels forces."""
    assert (peer["starts"]["box"], peer["starts"]["shift"]) == (205, 38)
    theirs = np.array(peer["starts"]["training random"])
    for end in (np.min, np.max):
        exact(np.abs(end(ours["random"], axis=0) - end(theirs, axis=0)).max())
    rng, case = np.random.default_rng(0), Recorder()
    for voxel, start in zip(corners(), peer["starts"]["single"], strict=True):
        case.voxels = dict.fromkeys(Region, voxel[None])
        difference = np.array(foreground_start(rng, case, SHAPE, PATCH)) - start
        assert set(difference[voxel >= 64]) <= {0}
        exact(np.abs(difference).max())


@row("Sampling: number of voxels stored for each region", tolerance=0)
def test_stored_voxels(peer: dict[str, Any], exact: Exact) -> None:
    masks = np.stack([np.isin(label_map(), values) for values in ((1, 2, 3), (1, 3), (3,))])
    assert [len(v) for v in sample_foreground(masks, "case")] != [int(mask.sum()) for mask in masks]
    for mine, theirs in zip(sample_foreground(masks, "case"), peer["stored"], strict=True):
        exact(abs(len(mine) - theirs))
