"""The data module on prepared cohorts on disk: labels that are gone, and workers that are spawned."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pedseg.data import store as layout
from pedseg.data.datamodule import PatchDataModule
from pedseg.data.datasets import LabelledPatches
from pedseg.data.encoding import pack_image, pack_masks, sample_foreground, write_array
from pedseg.data.sampling import SampleKey
from pedseg.data.store import CohortStore
from pedseg.errors import PedsegError
from pedseg.files import read_json, write_json
from pedseg.labels import Domain, Region

SHAPE = (24, 20, 28)
PATCH = (16, 16, 16)


def write_cohort(folder: Path, case_ids: Sequence[str]) -> None:
    """Prepare a small labelled cohort of noise."""
    cases = {}
    for number, case_id in enumerate(case_ids):
        rng = np.random.default_rng(number)
        brain = np.ones(SHAPE, dtype=bool)
        brain[:4] = False
        regions = np.zeros((3, *SHAPE), dtype=bool)
        regions[:, 8:14, 5:12, 10:20] = True
        case = folder / layout.CASES / case_id
        case.mkdir(parents=True)
        write_array(case / layout.IMAGE, pack_image(rng.integers(100, 900, (4, *SHAPE), dtype=np.int16), brain))
        write_array(case / layout.LABEL, pack_masks(regions))
        voxels = sample_foreground(regions, case_id)
        np.save(case / layout.FOREGROUND, np.concatenate(voxels))
        cases[case_id] = {
            "folder": case_id,
            "patient": case_id,
            "shape": SHAPE,
            "spacing_mm": (1.0, 1.0, 1.0),
            "mean": [500.0] * 4,
            "std": [230.0] * 4,
            "foreground_counts": [len(v) for v in voxels],
        }
    index = {"format": layout.FORMAT, "cohort": folder.name, "labelled": True, "convention": None, "cases": cases}
    write_json(folder / layout.INDEX, {**index, "input_folder": "raw"})


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    folder = tmp_path / "a store"
    write_cohort(folder / "adult", ["adult1", "adult2"])
    write_cohort(folder / "ped", ["ped1", "ped2", "ped3"])
    return folder


def batches(store: Path, *, num_workers: int = 0, spawn: bool = False) -> list[dict[str, dict[str, Tensor]]]:
    data = PatchDataModule(
        store=store,
        source={"adult": ["adult1", "adult2"]},
        source_validation={},
        target={"ped": ["ped1", "ped2", "ped3"]},
        patch_size=PATCH,
        batch_size=4,
        steps_per_epoch=4,
        validation_steps=0,
        seed=5,
        num_workers=num_workers,
        multiprocessing_context="spawn" if spawn else None,
    )
    return list(data.train_dataloader())


def assert_equal(first: list[dict[str, dict[str, Tensor]]], second: list[dict[str, dict[str, Tensor]]]) -> None:
    for one, other in zip(first, second, strict=True):
        assert list(one) == list(other) == ["source", "target"]
        for side, tensors in one.items():
            assert all(torch.equal(value, other[side][name]) for name, value in tensors.items())


def test_target_batches_do_not_need_label_files(prepared: Path) -> None:
    with_labels = batches(prepared)
    for name in (layout.LABEL, layout.FOREGROUND):
        files = list((prepared / "ped").rglob(name))
        assert len(files) == 3
        for file in files:
            file.unlink()
    assert_equal(batches(prepared), with_labels)


def test_source_batches_do(prepared: Path) -> None:
    for file in (prepared / "adult").rglob(layout.LABEL):
        file.unlink()
    with pytest.raises(PedsegError, match="label"):
        batches(prepared)


def test_unprepared_cohort_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(PedsegError, match="pedseg prepare"):
        batches(tmp_path)


@pytest.mark.slow
def test_spawned_workers_draw_the_same(prepared: Path) -> None:
    assert_equal(batches(prepared, num_workers=1, spawn=True), batches(prepared))


def ignore(folder: Path, case_id: str) -> None:
    """Let a part of a case's tumour, and of what is around it, be ignored from now on."""
    label = folder / layout.CASES / case_id / layout.LABEL
    masks = np.zeros((4, *SHAPE), dtype=bool)
    masks[:3, 8:14, 5:12, 10:20] = True
    masks[3, 6:11, 4:14, 8:20] = True
    masks[:3] &= ~masks[3]
    label.unlink()
    write_array(label, pack_masks(masks))
    voxels = sample_foreground(masks[:3], case_id)
    np.save(label.with_name(layout.FOREGROUND), np.concatenate(voxels))
    index = read_json(folder / layout.INDEX)
    changed = {"foreground_counts": [len(v) for v in voxels], "ignored_voxels": int(masks[3].sum())}
    index["cases"][case_id] |= changed
    write_json(folder / layout.INDEX, index)


def test_labels_have_a_mask_of_ignored_voxels_where_a_case_has_some(prepared: Path) -> None:
    before = batches(prepared)
    assert {batch["source"]["label"].shape[1] for batch in before} == {3}
    ignore(prepared / "ped", "ped1")  # of the target no label is read
    assert_equal(batches(prepared), before)
    ignore(prepared / "adult", "adult1")
    after = batches(prepared)
    labels = torch.cat([batch["source"]["label"] for batch in after])
    assert labels.shape[1] == 4
    assert 0 < sum(bool(label[3].any()) for label in labels) < len(labels)  # the other case has none
    assert not (labels[:, :3] & labels[:, 3:]).any()
    assert all("label" not in batch["target"] for batch in after)


def test_no_patch_is_forced_onto_an_ignored_voxel(prepared: Path) -> None:
    ignore(prepared / "adult", "adult1")
    store = CohortStore(prepared / "adult")
    case = store.open("adult1")
    masks = case.read_label((0, 0, 0), SHAPE, ignored=True)
    voxels = np.concatenate([case.foreground(region) for region in Region])
    assert len(voxels) == masks[:3].sum()
    assert not masks[3][tuple(voxels.T)].any()
    reader = LabelledPatches([(store, "adult1")], patch_size=(4, 4, 4), seed=0, transform=False, ignored=True)
    for position in range(40):
        label = reader.read(SampleKey(0, 0, Domain.SOURCE, position, foreground=True)).label
        assert label is not None
        assert label[:3, 2, 2, 2].any()
        assert not label[3, 2, 2, 2]


def test_two_labelled_sides_have_the_same_masks(prepared: Path) -> None:
    """A supervised control joins the labels of both sides, of which one alone ignores voxels."""
    ignore(prepared / "ped", "ped1")
    data = PatchDataModule(
        store=prepared,
        source={"adult": ["adult1", "adult2"]},
        source_validation={"adult": ["adult2"]},
        target={},
        opposed={"ped": ["ped1"]},
        patch_size=PATCH,
        batch_size=2,
        steps_per_epoch=1,
        validation_steps=1,
        seed=5,
    )
    (batch,), (watched,) = data.train_dataloader(), data.val_dataloader()
    assert batch["source"]["label"].shape == batch["target"]["label"].shape == (1, 4, *PATCH)
    assert watched["source"]["label"].shape == (2, 4, *PATCH)
    assert batch["target"]["label"][:, 3].any()
