"""Patches of cases, and the target side that cannot see a label."""

from typing import NoReturn, TypeVar, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from pedseg.data.datasets import LabelledPatches, PatchDataset, PatchReader, UnlabelledPatches
from pedseg.data.sampling import SampleKey
from pedseg.data.store import CohortStore
from pedseg.labels import Domain, Region

PATCH = (12, 12, 12)
SHAPE = (30, 26, 22)
A = TypeVar("A", bound=np.generic)


class Case:
    """A case in memory; its tumour is one block per region."""

    def __init__(self, case_id: str) -> None:
        self.id = case_id
        self.shape = SHAPE
        rng = np.random.default_rng(ord(case_id))
        self.image = rng.standard_normal((4, *SHAPE)).astype(np.float32)
        self.label = np.zeros((3, *SHAPE), dtype=np.uint8)
        self.label[:2, 20:24, 3:6, 18:21] = 1

    def read_image(
        self, start: tuple[int, ...], size: tuple[int, ...]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        return cut(self.image, start, size), cut(np.ones((1, *SHAPE), dtype=bool), start, size)

    def read_label(self, start: tuple[int, ...], size: tuple[int, ...], *, ignored: bool = False) -> NDArray[np.uint8]:
        return cut(self.label, start, size)

    def foreground(self, region: Region) -> NDArray[np.int32]:
        return np.argwhere(self.label[list(Region).index(region)]).astype(np.int32)


class Unlabelled(Case):
    """A case that refuses to give away its label."""

    def read_label(self, start: tuple[int, ...], size: tuple[int, ...], *, ignored: bool = False) -> NoReturn:
        raise AssertionError("a target label was read")

    def foreground(self, region: Region) -> NoReturn:
        raise AssertionError("target tumour voxels were read")


class Store:
    def __init__(self, kind: type[Case]) -> None:
        self.kind = kind

    def open(self, case_id: str) -> Case:
        return self.kind(case_id)


def cut(volume: NDArray[A], start: tuple[int, ...], size: tuple[int, ...]) -> NDArray[A]:
    padded = np.pad(volume, [(0, 0)] + [(30, 30)] * 3)
    return padded[(slice(None), *(slice(s + 30, s + 30 + n) for s, n in zip(start, size, strict=True)))]


def reader(kind: type[PatchReader], case: type[Case], *, transform: bool = True) -> PatchReader:
    store = cast(CohortStore, Store(case))
    return kind([(store, "a"), (store, "b")], patch_size=PATCH, seed=1, transform=transform)


def key(position: int, *, side: Domain = Domain.SOURCE, foreground: bool = False) -> SampleKey:
    return SampleKey(0, 0, side, position, foreground)


def test_target_patches_never_touch_a_label() -> None:
    patches = reader(UnlabelledPatches, Unlabelled)
    samples = [patches.read(key(i, side=Domain.TARGET)) for i in range(30)]
    assert all(sample.label is None for sample in samples)
    assert any(sample.affine is not None for sample in samples)
    with pytest.raises(AssertionError, match="label was read"):
        reader(LabelledPatches, Unlabelled).read(key(0))


def test_forced_patches_hold_tumour() -> None:
    patches = reader(LabelledPatches, Case, transform=False)
    for i in range(20):
        sample = patches.read(key(i, foreground=True))
        assert sample.label is not None
        assert sample.label.any()
        assert sample.image.shape == (4, *PATCH)
        assert sample.affine is None


def test_random_patches_lie_inside_and_come_from_all_cases() -> None:
    patches = reader(LabelledPatches, Case, transform=False)
    samples = [patches.read(key(i)) for i in range(40)]
    assert all(sample.brain.all() for sample in samples)
    assert len({sample.image.sum().item() for sample in samples}) > 35
    volumes = {name: Case(name).image for name in "ab"}
    found = {n for n, v in volumes.items() for s in samples if np.isin(s.image[0, 0, 0, 0].numpy(), v[0])}
    assert found == {"a", "b"}


def test_image_and_label_are_read_from_the_same_place() -> None:
    patches = reader(LabelledPatches, Case, transform=False)
    sample = patches.read(key(3, foreground=True))
    assert sample.label is not None
    for name in "ab":
        case = Case(name)
        where = np.argwhere(case.image[0] == sample.image[0, 0, 0, 0].item())
        if len(where):
            start = tuple(int(v) for v in where[0])
            np.testing.assert_array_equal(sample.image.numpy(), cut(case.image, start, PATCH))
            np.testing.assert_array_equal(sample.label.numpy(), cut(case.label, start, PATCH))
            return
    pytest.fail("the patch is in no case")


def test_dataset_sends_each_key_to_its_domain() -> None:
    dataset = PatchDataset(
        {Domain.SOURCE: reader(LabelledPatches, Case), Domain.TARGET: reader(UnlabelledPatches, Unlabelled)}
    )
    samples = dataset[[key(0), key(0, side=Domain.TARGET), key(1)]]
    assert [sample.label is None for sample in samples] == [False, True, False]
    assert [sample.key.position for sample in samples] == [0, 0, 1]
