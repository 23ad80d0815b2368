"""The whole augmentation chain against nnU-Net's: the same patch in, the distribution of what comes out.

`SAMPLES` patches go through either chain, each is summarised by the numbers of `tests.data.chain_statistics`, and the
two distributions of every number are compared. If they were equal, the Kolmogorov-Smirnov distance of two samples of
that size would exceed `BOUND` for one number in 10,000 tries, and there are 54 numbers.
"""

import subprocess
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import ks_2samp

from pedseg.data.augmentation import Augmentation
from pedseg.data.datasets import LabelledPatches
from pedseg.data.sampling import SampleKey
from pedseg.data.store import CohortStore
from pedseg.labels import Domain, Region
from tests.data import chain_statistics
from tests.exactness import Exact

SAMPLES = 1500
BOUND = 2.23 * np.sqrt(2 / SAMPLES)  # Smirnov's asymptotic quantile: sqrt(-ln(0.0001 / 2) / 2) = 2.23
PATCH = (24, 24, 24)
BOX = 38  # voxels that nnU-Net reads for such a patch; here the whole volume
PEER = """
import json, sys
import numpy as np, torch
from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
sys.path.insert(0, sys.argv[1])
from chain_statistics import statistics
given = np.load(sys.argv[2])
patch, angle = given["patch"].tolist(), (-np.pi / 6, np.pi / 6)
torch.set_num_threads(1)
np.random.seed(0)
torch.manual_seed(0)
assert tuple(get_patch_size(patch, angle, angle, angle, (0.85, 1.25))) == given["image"].shape[1:]
chain = nnUNetTrainer.get_training_transforms(
    patch, angle, None, (0, 1, 2), False, use_mask_for_norm=[True] * 4,
    regions=[(1, 2, 3), (1, 3), (3,)], foreground_labels=(1, 2, 3))
image, label = torch.from_numpy(given["image"]), torch.from_numpy(given["label"])
found = []
for _ in range(int(given["samples"])):
    out = chain(image=image.clone(), segmentation=label.clone())
    found.append(statistics(out["image"].numpy(), out["segmentation"].numpy()))
np.save(sys.argv[3], np.array(found))
"""


class Head:
    """A prepared case of `BOX` voxels: four channels of smooth tissue, nothing around, a tumour of three tissues."""

    shape = (BOX, BOX, BOX)

    def __init__(self) -> None:
        z, y, x = np.indices(self.shape) - (BOX - 1) / 2
        distance = np.hypot(np.hypot(z - 2, y + 3), x - 1)
        tissue = np.select([distance < 2.5, distance < 4.5, distance < 7], [3, 1, 2], 0)
        self.brain = np.hypot(np.hypot(z, 1.1 * y), 0.9 * x) < 14
        noise = np.random.default_rng(0).standard_normal((4, *self.shape))
        image = np.stack([gaussian_filter(n, 0.8) for n in noise]) + np.array([0.0, 0.4, 0.8, -0.5])[tissue]
        self.image = (np.stack([c / c[self.brain].std() for c in image]) * self.brain).astype(np.float32)
        self.label = np.where(self.brain, tissue, -1)[None].astype(np.int16)
        self.regions = np.concatenate([np.isin(self.label, v) for v in ((1, 2, 3), (1, 3), (3,))]).astype(np.uint8)

    def open(self, case_id: str) -> "Head":
        """Return itself: the case is also its store."""
        del case_id
        return self

    def foreground(self, region: Region) -> NDArray[np.int32]:
        """Return the voxel that puts a forced patch in the middle."""
        del region
        return np.full((1, 3), BOX // 2, dtype=np.int32)

    def read_image(self, start: tuple[int, ...], size: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Cut out image and brain."""
        box = (slice(None), *(slice(s, s + n) for s, n in zip(start, size, strict=True)))
        return self.image[box].copy(), self.brain[None][box].copy()

    def read_label(self, start: tuple[int, ...], size: tuple[int, ...], *, ignored: bool = False) -> NDArray[np.uint8]:
        """Cut out the region masks."""
        return self.regions[(slice(None), *(slice(s, s + n) for s, n in zip(start, size, strict=True)))].copy()


def augmented(head: Head, samples: int) -> NDArray[np.float64]:
    """Statistics of patches as training reads and augments them."""
    reader = LabelledPatches([(cast(CohortStore, head), "case")], patch_size=PATCH, seed=1)
    chain = Augmentation(patch_size=PATCH, seed=1)
    rows = []
    for step in range(samples):
        batch = chain([reader.read(SampleKey(0, step, Domain.SOURCE, 0, foreground=True))])
        rows.append(chain_statistics.statistics(batch["image"][0].numpy(), batch["label"][0].numpy()))
    return np.array(rows)


@pytest.fixture(scope="module")
def ours() -> NDArray[np.float64]:
    return augmented(Head(), SAMPLES)


@pytest.fixture(scope="module")
def theirs(peers_python: Path, tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.float64]:
    """Statistics of the patches that come out of nnU-Net's training transforms, in its own process."""
    folder, head = tmp_path_factory.mktemp("peer"), Head()
    np.savez(folder / "given.npz", image=head.image, label=head.label, patch=PATCH, samples=SAMPLES)
    files = [str(Path(chain_statistics.__file__).parent), str(folder / "given.npz"), str(folder / "found.npy")]
    subprocess.run([str(peers_python), "-c", PEER, *files], check=True, env={"OMP_NUM_THREADS": "1"})
    found: NDArray[np.float64] = np.load(folder / "found.npy")
    return found


@pytest.mark.slow
@pytest.mark.exact(
    f"Augmentation: whole chain, {len(chain_statistics.NAMES)} statistics of {SAMPLES:,} patches, Kolmogorov-Smirnov "
    "distance",
    section="Training",
    peer="nnunetv2",
    tolerance=BOUND,
)
def test_distribution_of_the_whole_chain(ours: NDArray[np.float64], theirs: NDArray[np.float64], exact: Exact) -> None:
    distances = {
        name: float(ks_2samp(a, b).statistic)
        for name, a, b in zip(chain_statistics.NAMES, ours.T, theirs.T, strict=True)
    }
    exact(max(distances.values()))
