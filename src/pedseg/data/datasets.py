"""Patches of prepared cases. Target patches come from a class that has no way to a label."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from pedseg.data import sampling, spatial
from pedseg.data.augmentation import Sample
from pedseg.data.sampling import SampleKey, Stream, random_stream
from pedseg.data.store import CohortStore, StoredCase
from pedseg.labels import Domain

CaseReference = tuple[CohortStore, str]


class PatchReader(ABC):
    """Read the patch that a key stands for, from one of several cases.

    Args:
        cases: store and id of every case to draw from, uniformly and with replacement.
        patch_size: voxels per axis.
        seed: of the run.
        stream: random stream of the patch positions.
        transform: whether rotation and scaling are drawn.
    """

    def __init__(
        self,
        cases: Sequence[CaseReference],
        *,
        patch_size: Sequence[int],
        seed: int,
        stream: Stream = Stream.PATCH,
        transform: bool = True,
    ) -> None:
        self.cases = list(cases)
        self.patch_size = tuple(patch_size)
        self.seed = seed
        self.stream = stream
        self.transform = transform

    def read(self, key: SampleKey) -> Sample:
        """Draw case, position and spatial parameters, and read the box that they need."""
        rng = random_stream(self.seed, key, self.stream)
        store, case_id = self.cases[int(rng.integers(len(self.cases)))]
        case = store.open(case_id)
        start = self._start(rng, case, key)
        matrix = spatial.draw_matrix(rng) if self.transform else None
        return self._read_box(case, spatial.required_box(matrix, start, self.patch_size, case.shape), key)

    @abstractmethod
    def _start(self, rng: np.random.Generator, case: StoredCase, key: SampleKey) -> tuple[int, int, int]:
        """First voxel of the patch."""

    @abstractmethod
    def _read_box(self, case: StoredCase, box: spatial.ReadBox, key: SampleKey) -> Sample:
        """Read what this kind of patch holds."""


class LabelledPatches(PatchReader):
    """Patches with labels, a share of them on tumour.

    Args:
        cases: as of `PatchReader`.
        patch_size: as of `PatchReader`.
        seed: as of `PatchReader`.
        stream: as of `PatchReader`.
        transform: as of `PatchReader`.
        ignored: whether labels have a fourth mask, that of the ignored voxels.
    """

    def __init__(
        self,
        cases: Sequence[CaseReference],
        *,
        patch_size: Sequence[int],
        seed: int,
        stream: Stream = Stream.PATCH,
        transform: bool = True,
        ignored: bool = False,
    ) -> None:
        super().__init__(cases, patch_size=patch_size, seed=seed, stream=stream, transform=transform)
        self.ignored = ignored

    def _start(self, rng: np.random.Generator, case: StoredCase, key: SampleKey) -> tuple[int, int, int]:
        if key.foreground:
            return sampling.foreground_start(rng, case, case.shape, self.patch_size)
        return sampling.random_start(rng, case.shape, self.patch_size)

    def _read_box(self, case: StoredCase, box: spatial.ReadBox, key: SampleKey) -> Sample:
        image, brain = case.read_image(box.start, box.size)
        label = torch.from_numpy(case.read_label(box.start, box.size, ignored=self.ignored))
        return Sample(torch.from_numpy(image), torch.from_numpy(brain), label, box.affine, key)


class UnlabelledPatches(PatchReader):
    """Patches at random positions, without labels: nothing here asks a case for a label or for its tumour voxels."""

    def _start(self, rng: np.random.Generator, case: StoredCase, key: SampleKey) -> tuple[int, int, int]:
        del key
        return sampling.random_start(rng, case.shape, self.patch_size)

    def _read_box(self, case: StoredCase, box: spatial.ReadBox, key: SampleKey) -> Sample:
        image, brain = case.read_image(box.start, box.size)
        return Sample(torch.from_numpy(image), torch.from_numpy(brain), None, box.affine, key)


class PatchDataset(Dataset[list[Sample]]):
    """Map the keys of a batch to its samples.

    Args:
        readers: one per domain that batches hold.
    """

    def __init__(self, readers: Mapping[Domain, PatchReader]) -> None:
        self.readers = dict(readers)

    def __getitem__(self, keys: Sequence[SampleKey]) -> list[Sample]:
        return [self.readers[key.side].read(key) for key in keys]
