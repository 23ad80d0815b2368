"""The store: exact arrays, patches that leave the volume, and messages for what is not there."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pedseg.data import encoding
from pedseg.data import store as layout
from pedseg.data.store import CohortStore, StoredCase
from pedseg.errors import PedsegError
from pedseg.files import write_json
from pedseg.labels import Region

SHAPE = (37, 20, 41)  # no multiple of a chunk, and one axis shorter than one
MEAN, STD = [300.0, 0.5, -7.0, 1.0], [90.0, 0.25, 3.0, 1e-8]


def make_store(folder: Path, raw: NDArray[np.generic], *, labelled: bool = True) -> tuple[NDArray[np.bool_], ...]:
    """Write a cohort of one case; returns its brain and regions."""
    rng = np.random.default_rng(1)
    brain = rng.random(SHAPE) < 0.8
    wt = np.zeros(SHAPE, dtype=bool)
    wt[5:30, 3:18, 4:38] = True
    regions = np.stack([wt, wt & (rng.random(SHAPE) < 0.1), np.zeros_like(wt)])
    case = folder / layout.CASES / "a"
    case.mkdir(parents=True)
    encoding.write_array(case / layout.IMAGE, encoding.pack_image(raw, brain))
    counts: list[int] = []
    if labelled:
        encoding.write_array(case / layout.LABEL, encoding.pack_masks(regions))
        voxels = encoding.sample_foreground(regions, "a")
        np.save(case / layout.FOREGROUND, np.concatenate(voxels))
        counts = [len(v) for v in voxels]
    entry = {"folder": "a", "patient": "p", "shape": SHAPE, "spacing_mm": (1, 1, 1), "mean": MEAN, "std": STD}
    index = {"format": layout.FORMAT, "cohort": folder.name, "labelled": labelled, "convention": None}
    cases = {"a": {**entry, "foreground_counts": counts}}
    write_json(folder / layout.INDEX, {**index, "input_folder": "in", "cases": cases})
    return brain, regions


def padded(array: NDArray[np.generic], start: tuple[int, ...], size: tuple[int, ...]) -> NDArray[np.generic]:
    """The box by numpy alone: pad generously, then slice."""
    margin = 70
    wide = np.pad(array, [(0, 0), *[(margin, margin)] * 3])
    return wide[(slice(None), *(slice(s + margin, s + margin + n) for s, n in zip(start, size, strict=True)))]


@pytest.fixture(params=["int16", "float32"])
def written(
    request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[StoredCase, NDArray[np.float32], *tuple[NDArray[np.bool_], ...]]:
    """A stored case with its normalised image, brain and regions."""
    rng = np.random.default_rng(0)
    raw = rng.integers(-500, 3000, (4, *SHAPE), dtype=np.int16)
    if request.param == "float32":
        raw = (raw + rng.random(raw.shape)).astype(np.float32)
    brain, regions = make_store(tmp_path / "c", raw)
    mean, std = (np.array(v, dtype=np.float32)[:, None, None, None] for v in (MEAN, STD))
    scored = (raw.astype(np.float32) - mean) / std
    expected = np.where(brain, scored, 0 if raw.dtype == np.int16 else raw).astype(np.float32)
    return CohortStore(tmp_path / "c").open("a"), expected, brain, regions


@pytest.mark.parametrize(
    ("start", "size"),
    [
        ((0, 0, 0), SHAPE),
        ((3, 2, 1), (16, 16, 16)),
        ((-4, -60, 30), (20, 70, 20)),
        ((-9, 3, 5), (60, 60, 60)),
        ((40, 0, 0), (8, 8, 8)),  # wholly outside
        ((-30, -9, -9), (8, 4, 4)),
    ],
)
def test_boxes_are_exact_wherever_they_lie(
    written: tuple[StoredCase, NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]],
    start: tuple[int, int, int],
    size: tuple[int, int, int],
) -> None:
    case, expected, brain, regions = written
    image, mask = case.read_image(start, size)
    assert image.dtype == np.float32
    assert mask.dtype == np.bool_
    assert np.array_equal(image, padded(expected, start, size))
    assert np.array_equal(mask, padded(brain[None], start, size))
    assert np.array_equal(case.read_label(start, size), padded(regions.astype(np.uint8), start, size))


def test_ignored_voxels_are_one_bit_more(tmp_path: Path) -> None:
    """A label without them is packed as it has always been, and one that has them reads the same without asking."""
    rng = np.random.default_rng(2)
    regions, ignored = rng.random((3, 9, 8, 7)) < 0.5, rng.random((1, 9, 8, 7)) < 0.3
    masks = np.concatenate([regions & ~ignored, ignored])
    packed = encoding.pack_masks(masks)
    assert np.array_equal(packed, (masks * np.array([1, 2, 4, 8])[:, None, None, None]).sum(axis=0))
    assert np.array_equal(encoding.pack_masks(regions), (regions * [[[[1]]], [[[2]]], [[[4]]]]).sum(axis=0))
    assert np.array_equal(encoding.unpack_masks(packed), masks[:3])
    assert np.array_equal(encoding.unpack_masks(packed, ignored=True), masks)
    make_store(tmp_path / "c", np.ones((4, *SHAPE), dtype=np.int16))
    case = CohortStore(tmp_path / "c").open("a")
    assert not case.ignores  # an entry of before says nothing of them
    box = case.read_label((-2, 0, 0), SHAPE, ignored=True)
    assert np.array_equal(box[:3], case.read_label((-2, 0, 0), SHAPE))
    assert not box[3].any()


def test_foreground_lies_in_its_region_and_is_bounded(tmp_path: Path) -> None:
    regions = np.zeros((3, 64, 128, 128), dtype=bool)
    regions[0] = True  # 1,048,576 voxels: more than 1 % of them is more than 10,000
    regions[1, :, :64, :8] = True  # 32,768: 10,000 of them
    regions[2, 5, 6, 7] = True
    wt, tc, et = encoding.sample_foreground(regions, "case")
    assert [len(v) for v in (wt, tc, et)] == [10_486, 10_000, 1]
    assert et.tolist() == [[5, 6, 7]]
    assert regions[1][tuple(tc.T)].all()
    assert len(np.unique(wt, axis=0)) == len(wt)
    again, other = (encoding.sample_foreground(regions, name)[0] for name in ("case", "other"))
    assert np.array_equal(wt, again)
    assert not np.array_equal(wt, other)


def test_a_region_that_is_absent_has_no_foreground(
    written: tuple[StoredCase, NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]],
) -> None:
    case, *_, regions = written
    assert case.foreground(Region.ET).shape == (0, 3)
    tc = case.foreground(Region.TC)
    assert len(tc) == regions[1].sum()
    assert regions[1][tuple(tc.T)].all()


def test_an_unlabelled_cohort_gives_no_labels(tmp_path: Path) -> None:
    make_store(tmp_path / "c", np.ones((4, *SHAPE), dtype=np.int16), labelled=False)
    case = CohortStore(tmp_path / "c").open("a")
    assert not case.labelled
    for read in (lambda: case.read_label((0, 0, 0), (2, 2, 2)), lambda: case.foreground(Region.WT)):
        with pytest.raises(PedsegError, match="without labels"):
            read()


def test_what_is_absent_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(PedsegError, match=r"was not prepared.*pedseg prepare"):
        CohortStore(tmp_path / "c")
    make_store(tmp_path / "c", np.ones((4, *SHAPE), dtype=np.int16))
    store = CohortStore(tmp_path / "c")
    with pytest.raises(PedsegError, match="has no case 'b'"):
        store.open("b")
    image = tmp_path / "c" / layout.CASES / "a" / layout.IMAGE
    image.write_bytes(image.read_bytes()[:100])
    with pytest.raises(PedsegError, match=r"image\.b2nd"):
        store.open("a").read_image((0, 0, 0), (2, 2, 2))
    (tmp_path / "c" / layout.INDEX).unlink()
    with pytest.raises(PedsegError, match="only in part"):
        CohortStore(tmp_path / "c")


def test_stores_can_be_pickled(tmp_path: Path) -> None:
    make_store(tmp_path / "c", np.ones((4, *SHAPE), dtype=np.int16))
    store = CohortStore(tmp_path / "c")
    store.open("a").read_image((0, 0, 0), (2, 2, 2))
    assert pickle.loads(pickle.dumps(store)).open("a").patient == "p"  # noqa: S301  (its own)


def test_intensities_that_need_more_than_int16_are_kept(tmp_path: Path) -> None:
    raw = np.full((1, 4, 4, 4), 40_000.0, dtype=np.float32)
    brain = np.ones((4, 4, 4), dtype=bool)
    packed = encoding.pack_image(raw, brain)
    one, zero = np.ones(1, dtype=np.float32), np.zeros(1, dtype=np.float32)
    assert packed.shape == (2, 4, 4, 4)
    assert np.array_equal(encoding.unpack_image(packed, mean=zero, std=one)[0], raw)
