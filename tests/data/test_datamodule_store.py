"""The data module on prepared cohorts on disk: labels that are gone, and workers that are spawned."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pedseg.data import store as layout
from pedseg.data.datamodule import PatchDataModule
from pedseg.data.encoding import pack_image, pack_regions, sample_foreground, write_array
from pedseg.errors import PedsegError
from pedseg.files import write_json

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
        write_array(case / layout.LABEL, pack_regions(regions))
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
