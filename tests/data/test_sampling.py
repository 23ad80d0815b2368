"""Keys, streams, balance of domains and patch positions."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pedseg.data.sampling import (
    PatchSampler,
    SampleKey,
    Stream,
    foreground_start,
    is_foreground,
    random_start,
    random_stream,
    side_sizes,
    start_limits,
)
from pedseg.labels import Domain, Region

KEY = SampleKey(epoch=3, step=7, side=Domain.SOURCE, position=1, foreground=False)


@dataclass
class Tumour:
    """A case that has foreground voxels only."""

    voxels: dict[Region, list[tuple[int, int, int]]]

    def foreground(self, region: Region) -> NDArray[np.int32]:
        return np.array(self.voxels.get(region, []), dtype=np.int32).reshape(-1, 3)


def test_stream_depends_on_every_part_of_the_key_and_on_nothing_else() -> None:
    def first(seed: int = 1, key: SampleKey = KEY, stream: Stream = Stream.PATCH) -> float:
        return float(random_stream(seed, key, stream).random())

    others = [
        first(seed=2),
        first(stream=Stream.INTENSITY),
        first(key=KEY._replace(epoch=4)),
        first(key=KEY._replace(step=8)),
        first(key=KEY._replace(side=Domain.TARGET)),
        first(key=KEY._replace(position=2)),
    ]
    assert first() == first()
    assert len({first(), *others}) == 7


@pytest.mark.parametrize(
    ("batch_size", "even", "odd"), [(1, (1, 0), (0, 1)), (2, (1, 1), (1, 1)), (3, (2, 1), (1, 2)), (4, (2, 2), (2, 2))]
)
def test_batches_are_balanced_by_domain(batch_size: int, even: tuple[int, int], odd: tuple[int, int]) -> None:
    assert tuple(side_sizes(batch_size, 0, adapt=True).values()) == even
    assert tuple(side_sizes(batch_size, 5, adapt=True).values()) == odd
    assert tuple(side_sizes(batch_size, 5, adapt=False).values()) == (batch_size, 0)


@pytest.mark.parametrize(("batch", "forced"), [(2, [1]), (3, [2]), (4, [3]), (5, [3, 4]), (8, [5, 6, 7])])
def test_the_last_samples_are_forced_as_nnunet_does(batch: int, forced: list[int]) -> None:
    assert [i for i in range(batch) if is_foreground(i, batch, 0, fraction=0.33)] == forced


def test_source_batches_of_one_take_turns() -> None:
    for batch_size in (1, 2):  # one source sample every second step, and every step
        sampler = PatchSampler(batch_size=batch_size, steps=8, adapt=True)
        source = [key.foreground for keys in sampler for key in keys if key.side is Domain.SOURCE]
        assert source == [False, True] * (2 * batch_size)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 6, 8])
def test_labelled_sides_are_forced_alike(batch_size: int) -> None:
    """A target's patches are forced only where its side is labelled, and then by the rule of the source."""
    settings: dict[str, Any] = {"batch_size": batch_size, "steps": 8, "adapt": True}
    plain, opposed = PatchSampler(**settings), PatchSampler(**settings, labelled=tuple(Domain))
    for before, after in zip(plain, opposed, strict=True):
        assert [key._replace(foreground=False) for key in before] == [key._replace(foreground=False) for key in after]
        assert [key for key in before if key.side is Domain.SOURCE] == [k for k in after if k.side is Domain.SOURCE]
        assert not any(key.foreground for key in before if key.side is Domain.TARGET)
    forced = [[key.foreground for keys in opposed for key in keys if key.side is side] for side in Domain]
    assert sum(forced[0]) == sum(forced[1]) > 0
    if batch_size % 2 == 0:
        assert forced[0] == forced[1]


@pytest.mark.parametrize("adapt", [True, False])
def test_two_processes_share_the_batch_of_one(adapt: bool) -> None:
    whole = PatchSampler(batch_size=8, steps=3, adapt=adapt)
    parts = [PatchSampler(batch_size=4, steps=3, adapt=adapt, rank=rank, world_size=2) for rank in range(2)]
    for sampler in (whole, *parts):
        sampler.set_epoch(5)
    for batch, *shares in zip(whole, *parts, strict=True):
        assert sorted(batch) == sorted(key for share in shares for key in share)
        assert all(len(share) == 4 for share in shares)


def test_sampler_yields_the_epoch_it_was_set_to() -> None:
    sampler = PatchSampler(batch_size=2, steps=2, adapt=False)
    sampler.set_epoch(4)
    assert len(sampler) == 2
    assert [(key.epoch, key.step, key.position) for keys in sampler for key in keys] == [
        (4, 0, 0),
        (4, 0, 1),
        (4, 1, 0),
        (4, 1, 1),
    ]


def test_limits_of_patch_starts() -> None:
    assert start_limits((10, 8, 5), (8, 8, 8)) == [(0, 2), (0, 0), (-2, -1)]
    assert start_limits((4,), (8,)) == [(-2, -2)]


def test_random_starts_reach_every_position_equally() -> None:
    rng = np.random.default_rng(0)
    starts = Counter(random_start(rng, (10, 9, 5), (8, 8, 8)) for _ in range(6000))
    assert len(starts) == 3 * 2 * 2
    assert min(starts.values()) > 400  # 500 expected, standard deviation 21


def test_foreground_patch_is_centred_and_clamped_below_only() -> None:
    rng = np.random.default_rng(0)
    case = Tumour({Region.WT: [(20, 3, 39)]})
    assert foreground_start(rng, case, (40, 40, 40), (16, 16, 16)) == (12, 0, 31)


def test_forced_region_is_uniform_over_those_present() -> None:
    rng = np.random.default_rng(0)
    case = Tumour({Region.WT: [(20, 20, 20)] * 98 + [(21, 20, 20)] * 2, Region.TC: [(30, 20, 20)]})
    starts = Counter(foreground_start(rng, case, (60, 40, 40), (16, 16, 16))[0] for _ in range(2000))
    assert set(starts) == {12, 13, 22}
    assert abs(starts[22] - 1000) < 110  # five standard deviations
    assert 0 < starts[13] < 60


def test_case_without_tumour_gets_a_random_patch() -> None:
    starts = {foreground_start(np.random.default_rng(i), Tumour({}), (18, 16, 16), (16, 16, 16)) for i in range(30)}
    assert starts == {(0, 0, 0), (1, 0, 0), (2, 0, 0)}
