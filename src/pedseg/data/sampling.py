"""Which patch each sample of a run is: keys, their random streams, and nnU-Net's patch positions.

Nothing here keeps state. A sample is named by a `SampleKey`, and whatever is random about it is drawn from a stream
seeded with the run's seed and that key. So a resumed run, a run in workers and a run on several processes draw the
same samples.
"""

from collections.abc import Collection, Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from pedseg.labels import Domain, Region

_SIDES = tuple(Domain)


class Stream(IntEnum):
    """Independent random streams of one sample."""

    PATCH = 0
    INTENSITY = 1
    VALIDATION_PATCH = 2
    MODALITY = 3


class SampleKey(NamedTuple):
    """Name of one sample of a run.

    Attributes:
        epoch: epoch, from 0.
        step: batch within the epoch, from 0.
        side: source or target.
        position: place in that side of the *global* batch, over all processes.
        foreground: whether the patch must hold tumour (labelled sides only).
    """

    epoch: int
    step: int
    side: Domain
    position: int
    foreground: bool


class ForegroundCase(Protocol):
    """What a labelled case offers to place a patch on its tumour."""

    def foreground(self, region: Region) -> NDArray[np.int32]:
        """Stored voxel indices (N, 3) of `region`."""


def random_stream(seed: int, key: SampleKey, stream: Stream) -> np.random.Generator:
    """Generator that depends on nothing but its arguments."""
    entropy = (seed, key.epoch, key.step, _SIDES.index(key.side), key.position, int(stream))
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))


def side_sizes(batch_size: int, step: int, *, adapt: bool) -> dict[Domain, int]:
    """Samples per domain in one process's batch of `step`.

    With `adapt` the batch is split evenly; the odd sample goes to the source on even steps and to the target on odd
    ones, the same in every process. Without, all are source samples.
    """
    if not adapt:
        return {Domain.SOURCE: batch_size, Domain.TARGET: 0}
    half, odd = divmod(batch_size, 2)
    return {Domain.SOURCE: half + odd * (1 - step % 2), Domain.TARGET: half + odd * (step % 2)}


def is_foreground(index: int, batch_size: int, ordinal: int, *, fraction: float) -> bool:
    """Whether nnU-Net would force sample `index` of a labelled batch onto tumour.

    nnU-Net forces the last ones: ``index >= round(batch_size * (1 - fraction))``, with the *global* batch so that
    the share does not depend on the number of processes. By that rule a batch of one would never be forced, and an
    adaptation with batch size 2 has such source batches; two consecutive ones (`ordinal` counts them) are then taken
    as a batch of two.
    """
    if batch_size == 1:
        index, batch_size = ordinal % 2, 2
    return index >= round(batch_size * (1.0 - fraction))


class PatchSampler(Sampler[list[SampleKey]]):
    """The keys of one process's batches, epoch by epoch.

    Lightning calls `set_epoch` at the start of every epoch and after a resume. The keys carry the epoch into
    (persistent) workers, which therefore hold no state.

    Args:
        batch_size: samples per process, both sides together.
        steps: batches per epoch.
        adapt: whether batches have a target side.
        foreground_fraction: nnU-Net's ``oversample_foreground_percent``.
        rank: this process.
        world_size: number of processes.
        labelled: sides of which a share of the patches is forced onto tumour.
    """

    def __init__(
        self,
        *,
        batch_size: int,
        steps: int,
        adapt: bool,
        foreground_fraction: float = 0.33,
        rank: int = 0,
        world_size: int = 1,
        labelled: Collection[Domain] = (Domain.SOURCE,),
    ) -> None:
        self.batch_size = batch_size
        self.steps = steps
        self.adapt = adapt
        self.foreground_fraction = foreground_fraction
        self.rank = rank
        self.world_size = world_size
        self.labelled = frozenset(labelled)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of `epoch`."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[SampleKey]]:
        epoch = self.epoch
        return (self.batch(epoch, step) for step in range(self.steps))

    def batch(self, epoch: int, step: int) -> list[SampleKey]:
        """Keys of this process's batch: source samples first, then target samples."""
        keys = []
        alternating = self.adapt and self.batch_size % 2 == 1
        ordinal = step // 2 if alternating else step
        for side, size in side_sizes(self.batch_size, step, adapt=self.adapt).items():
            total = size * self.world_size
            for index in range(self.rank * size, (self.rank + 1) * size):
                foreground = side in self.labelled and is_foreground(
                    index, total, ordinal, fraction=self.foreground_fraction
                )
                keys.append(SampleKey(epoch, step, side, index, foreground))
        return keys


def start_limits(shape: Sequence[int], patch_size: Sequence[int]) -> list[tuple[int, int]]:
    """Lowest and highest patch start per axis (both may be drawn); a volume smaller than the patch is centred in it."""
    limits = []
    for size, patch in zip(shape, patch_size, strict=True):
        missing = max(0, patch - size)
        border = (missing + 1) // 2
        limits.append((-border, size + border - patch))
    return limits


def random_start(rng: np.random.Generator, shape: Sequence[int], patch_size: Sequence[int]) -> tuple[int, int, int]:
    """Uniform patch start (z, y, x), as nnU-Net's patches that are not forced."""
    z, y, x = (int(rng.integers(low, high + 1)) for low, high in start_limits(shape, patch_size))
    return z, y, x


def foreground_start(
    rng: np.random.Generator, case: ForegroundCase, shape: Sequence[int], patch_size: Sequence[int]
) -> tuple[int, int, int]:
    """Patch start that puts a tumour voxel at the patch centre, nnU-Net's forced foreground.

    Uniform over the regions that are present, then over the stored voxels of that region. As in nnU-Net the start is
    clamped below only: next to the far border the patch reaches past the volume and is padded. A case without tumour
    gets a random patch.
    """
    present = [voxels for voxels in (case.foreground(region) for region in Region) if len(voxels)]
    if not present:
        return random_start(rng, shape, patch_size)
    voxels = present[int(rng.integers(len(present)))]
    voxel = voxels[int(rng.integers(len(voxels)))]
    limits = start_limits(shape, patch_size)
    z, y, x = (max(low, int(v) - patch // 2) for (low, _), v, patch in zip(limits, voxel, patch_size, strict=True))
    return z, y, x
