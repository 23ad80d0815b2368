"""Ignored voxels: what counts without them, and a whole run in which what lies below them changes nothing."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pedseg.data import CohortStore
from pedseg.data import store as layout
from pedseg.files import read_json
from pedseg.ignored import judged, parted
from pedseg.runs import RunFolder
from tests.conftest import FEW, Trained
from tests.training import assert_same_bits, spawn, train, weights

IGNORING = "{et: 3, nc: 1, ed: 2, ignore: [4, 9]}"
CONVENTIONS = [f"data.cohorts.{cohort}.convention={IGNORING}" for cohort in ("adult", "ped")]
Voxels = NDArray[np.uint8]


def test_what_is_judged() -> None:
    prediction = np.array([[1, 1, 0, 0]] * 3, dtype=bool).reshape(3, 1, 1, 4)
    label = np.array([[1, 0, 1, 0]] * 3 + [[1, 1, 0, 0]], dtype=bool).reshape(4, 1, 1, 4)
    ours, theirs, ignored = judged(prediction, label)
    assert not ours.any()
    assert theirs[:, 0, 0].tolist() == [[False, False, True, False]] * 3
    assert ignored is not None
    assert ignored[:, 0, 0].tolist() == [[True, True, False, False]]
    regions, mask = parted(torch.from_numpy(label)[None].expand(2, -1, -1, -1, -1), 3)
    assert regions.shape == (2, 3, 1, 1, 4)
    assert mask is not None
    assert mask.shape == (2, 1, 1, 1, 4)


def test_without_a_mask_nothing_is_copied() -> None:
    prediction, label = np.ones((3, 2, 2, 2), dtype=bool), np.zeros((3, 2, 2, 2), dtype=bool)
    ours, theirs, ignored = judged(prediction, label)
    assert ours is prediction
    assert theirs is label
    assert ignored is None


def make_world(source: Path, world: Path, change: Callable[[Voxels], Voxels] | None = None) -> Path:
    """The toy cohorts with other labels, prepared in a process of its own by a convention that ignores 4 and 9."""
    for cohort in ("adult", "ped"):
        shutil.copytree(source / cohort, world / cohort)
    for path in world.rglob("*-seg.nii.gz") if change else ():
        image = nib.load(path)
        assert change is not None
        nib.save(nib.Nifti1Image(change(np.asarray(image.dataobj).astype(np.uint8)), image.affine), path)
    paths = [f"paths.{name}={world / name}" for name in ("adult", "ped", "store")]
    command = [sys.executable, "-m", "pedseg", "prepare", "scale=toy", *paths, *CONVENTIONS, "workers=1"]
    subprocess.run(command, check=True, capture_output=True)
    return world


def cavity(label: Voxels) -> NDArray[np.bool_]:
    """Voxels to ignore: tumour and its surroundings on one side of the tumour's middle."""
    middle = int(np.argwhere(label)[:, 0].mean())
    mask = np.zeros(label.shape, dtype=bool)
    mask[middle:, label.shape[1] // 4 : -label.shape[1] // 4] = True
    return mask


def one_value(label: Voxels) -> Voxels:
    return np.where(cavity(label), 4, label).astype(np.uint8)


def by_tissue(label: Voxels) -> Voxels:
    """The same voxels are ignored, in a value that tells what would stand there."""
    return np.where(cavity(label), np.where(label == 0, 9, 4), label).astype(np.uint8)


def stored(world: Path, cohort: str) -> dict[str, bytes]:
    """Files of a cohort's cases that training reads."""
    folder = world / "store" / cohort
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.b2nd")} | {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob(layout.FOREGROUND)
    }


def run_of(runs: Path) -> RunFolder:
    (folder,) = (runs / "m1_adult").iterdir()
    return RunFolder(folder)


def test_a_convention_that_finds_nothing_to_ignore_changes_no_bit(
    toy_world: Path, trained: Trained, tmp_path: Path
) -> None:
    world = make_world(toy_world, tmp_path / "a world")
    for cohort in ("adult", "ped"):
        assert stored(world, cohort) == stored(toy_world, cohort)
        cases, before = (read_json(w / "store" / cohort / layout.INDEX)["cases"] for w in (world, toy_world))
        assert {name: case.keys() for name, case in cases.items()} == {
            name: case.keys() for name, case in before.items()
        }
    assert train(world, tmp_path / "runs", "experiment=m1_adult", "run_name=m1_adult", *FEW, *CONVENTIONS) == 0
    before_run, run = trained("m1_adult"), run_of(tmp_path / "runs")
    assert_same_bits(weights(run.path), weights(before_run.path))
    assert run.variant("plain").scores.read_bytes() == before_run.variant("plain").scores.read_bytes()


@pytest.mark.slow
def test_what_lies_below_ignored_voxels_reaches_no_weight_and_no_score(
    toy_world: Path, trained: Trained, tmp_path: Path
) -> None:
    """Two cohorts that differ there alone are prepared, trained on, predicted and scored; nothing differs."""
    runs = {}
    for name, change in (("one", one_value), ("other", by_tissue)):
        world = make_world(toy_world, tmp_path / name, change)
        command = spawn(
            world, tmp_path / f"runs {name}", "experiment=m1_adult", "run_name=m1_adult", *FEW, *CONVENTIONS
        )
        subprocess.run(command, check=True, capture_output=True)
        runs[name] = run_of(tmp_path / f"runs {name}")
    adults = [stored(tmp_path / name, "adult") for name in ("one", "other")]
    assert adults[0] == adults[1] != stored(toy_world, "adult")
    store = CohortStore(tmp_path / "one" / "store" / "adult")
    assert all(store.open(case).ignores for case in store.case_ids)
    one, other = (weights(run.path) for run in runs.values())
    assert_same_bits(one, other)
    plain = weights(trained("m1_adult").path)
    assert any(not torch.equal(value, plain[key]) for key, value in one.items())  # the masks do reach the loss
    scores = [run.variant("plain").scores for run in runs.values()]
    assert scores[0].read_bytes() == scores[1].read_bytes()
    command = [sys.executable, "-m", "pedseg", "evaluate", "--predictions", str(runs["one"].variant("plain").path)]
    output = tmp_path / "again.csv"
    labels = ["--labels", str(tmp_path / "other" / "ped"), "--subset", "--convention", IGNORING]
    subprocess.run([*command, *labels, "--output", str(output)], check=True, capture_output=True)
    assert output.read_bytes() == scores[0].read_bytes()
