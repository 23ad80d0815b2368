"""The preparation command: every problem is found before anything is written, and nothing is done twice."""

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from pedseg.commands import prepare as entry
from pedseg.data.store import CohortStore
from pedseg.files import read_json
from pedseg.imaging.brain import find_brain
from pedseg.labels import Region

Harm = Callable[[Path], None]
CASE = "BraTS-PED-90002-000"


def prepare(world: Path, store: Path, *overrides: str) -> int:
    paths = {"adult": world / "adult", "ped": world / "ped", "store": store}
    return entry.main(["scale=toy", "workers=1", *(f"paths.{k}={v}" for k, v in paths.items()), *overrides])


@pytest.fixture
def raw(toy_world: Path, tmp_path: Path) -> Path:
    """A copy of the raw cohorts that may be harmed."""
    for cohort in ("adult", "ped"):
        shutil.copytree(toy_world / cohort, tmp_path / "raw data" / cohort)
    return tmp_path / "raw data"


def rewrite(path: Path, change: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]], *, shift: float = 0.0) -> None:
    image = nib.load(path)
    affine = image.affine.copy()
    affine[0, 3] += shift
    data = change(np.asarray(image.dataobj))
    nib.save(nib.Nifti1Image(data, affine, dtype=data.dtype), path)


def file(folder: Path, suffix: str) -> Path:
    return folder / f"{CASE}-{suffix}.nii.gz"


def remove(folder: Path) -> None:
    file(folder, "t2w").unlink()


def truncate(folder: Path) -> None:
    path = file(folder, "t1c")
    path.write_bytes(path.read_bytes()[:-200])


def no_nifti(folder: Path) -> None:
    file(folder, "t1c").write_bytes(gzip.compress(b"hello"))


def crop(folder: Path) -> None:
    rewrite(file(folder, "t2f"), lambda data: data[:-1])


def shift(folder: Path) -> None:
    rewrite(file(folder, "t2f"), lambda data: data, shift=3.0)


def nan(folder: Path) -> None:
    rewrite(file(folder, "t1n"), lambda data: np.where(data > 100, np.nan, data).astype(np.float32))


def zero(folder: Path) -> None:
    rewrite(file(folder, "t1n"), np.zeros_like)


def foreign(folder: Path) -> None:
    rewrite(file(folder, "seg"), lambda data: np.where(data == 1, 7, data).astype(np.uint8))


def empty(folder: Path) -> None:
    rewrite(file(folder, "seg"), np.zeros_like)


def unlabel(folder: Path) -> None:
    file(folder, "seg").unlink()


def copy(folder: Path) -> None:
    other = folder.with_name("BraTS-PED-90099-000")
    other.mkdir()
    for path in folder.iterdir():
        shutil.copy(path, other / path.name.replace(CASE, other.name))


@pytest.mark.parametrize(
    ("harm", "name", "what"),
    [
        (remove, "t2w", ""),
        (truncate, "t1c", "truncated"),
        (no_nifti, "t1c", "not a NIfTI"),
        (crop, "t2f", "has shape"),
        (shift, "t2f", "another affine"),
        (nan, "t1n", "NaN or infinite"),
        (zero, "t1n", "every voxel of t1n is 0"),
        (foreign, "seg", "label 7"),
        (empty, "seg", "no tumour"),
        (unlabel, "seg", ""),
        (copy, "90099", "has the images of BraTS-PED-90002-000"),
    ],
)
def test_every_problem_names_file_and_fix_and_writes_nothing(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], harm: Harm, name: str, what: str
) -> None:
    harm(raw / "ped" / CASE)
    assert prepare(raw, tmp_path / "store") == 2
    shown = capsys.readouterr().err
    line = next(line for line in shown.splitlines() if "→" in line)
    assert name in line
    assert what in line
    assert line.split("→")[1].strip()
    assert "1 problems in 1 cases" in shown
    assert not (tmp_path / "store").exists()


def test_all_problems_are_shown_at_once_and_may_be_skipped(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truncate(raw / "ped" / CASE)
    (raw / "adult" / "BraTS-GLI-90003-000" / "BraTS-GLI-90003-000-seg.nii.gz").unlink()
    assert prepare(raw, tmp_path / "store", "--check") == 2
    assert "2 problems in 2 cases" in capsys.readouterr().err
    assert prepare(raw, tmp_path / "store", "skip_bad=true") == 0
    assert len(CohortStore(tmp_path / "store" / "ped").case_ids) == 5
    assert len(CohortStore(tmp_path / "store" / "adult").case_ids) == 5


def test_check_writes_nothing(toy_world: Path, tmp_path: Path) -> None:
    assert prepare(toy_world, tmp_path / "store", "--check") == 0
    assert not (tmp_path / "store").exists()


def test_wrong_convention_is_refused(toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(toy_world, tmp_path / "store", "data.cohorts.adult.convention=brats2021") == 2
    assert "label 3, which brats2021" in capsys.readouterr().err


def test_a_second_run_does_nothing_and_a_changed_case_is_prepared_again(raw: Path, tmp_path: Path) -> None:
    store = tmp_path / "a store"
    assert prepare(raw, store) == 0
    entries = {path: path.stat().st_mtime_ns for path in store.rglob("image.b2nd")}
    assert len(entries) == 12
    assert prepare(raw, store) == 0
    assert {path: path.stat().st_mtime_ns for path in entries} == entries
    rewrite(file(raw / "ped" / CASE, "t1n"), lambda data: data * 2)
    assert prepare(raw, store) == 0
    changed = [path.parent.name for path, time in entries.items() if path.stat().st_mtime_ns != time]
    assert changed == [CASE]


def test_an_interrupted_preparation_is_continued(raw: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert prepare(raw, store) == 0
    (store / "ped" / "index.json").unlink()  # as if killed before the end
    folder = store / "ped" / "cases" / CASE
    (folder / "case.json").unlink()
    other = store / "ped" / "cases" / "BraTS-PED-90001-000" / "image.b2nd"
    before = other.stat().st_mtime_ns
    assert prepare(raw, store) == 0
    assert other.stat().st_mtime_ns == before
    assert CohortStore(store / "ped").open(CASE).read_label((0, 0, 0), (4, 4, 4)).shape == (3, 4, 4, 4)


def test_other_settings_are_refused(toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    assert prepare(toy_world, store) == 0
    assert prepare(toy_world, store, "data.spacing_mm=[16,16,16]") == 2
    assert "overwrite=true" in capsys.readouterr().err
    assert prepare(toy_world, store, "data.spacing_mm=[16,16,16]", "overwrite=true") == 0
    case = CohortStore(store / "ped").open(CASE)
    assert case.spacing_mm == (16.0, 16.0, 16.0)


def test_an_unlabelled_cohort_needs_no_label_anywhere(raw: Path, tmp_path: Path) -> None:
    for path in (raw / "ped").rglob("*seg*"):
        path.unlink()
    assert prepare(raw, tmp_path / "store", "data.cohorts.ped.labelled=false") == 0
    store = CohortStore(tmp_path / "store" / "ped")
    assert not store.labelled
    assert len(store.case_ids) == 6
    assert not list((tmp_path / "store" / "ped").rglob("label*"))


def test_prepared_arrays_are_the_files(toy_world: Path) -> None:
    """z-scores inside the brain and region masks, worked out here from the raw files."""
    case = CohortStore(toy_world / "store" / "ped").open(CASE)
    image, brain = case.read_image((0, 0, 0), case.shape)
    label = case.read_label((0, 0, 0), case.shape)
    folder = toy_world / "ped" / CASE
    read = [np.asarray(nib.load(file(folder, s)).dataobj).T for s in ("t1n", "t1c", "t2w", "t2f", "seg")]
    inside = np.argwhere(np.any([r != 0 for r in read[:4]], axis=0))
    box = tuple(slice(a, b + 1) for a, b in zip(inside.min(0), inside.max(0), strict=True))
    for channel, raw_image in zip(image, read, strict=False):
        values = raw_image[box][brain[0]].astype(np.float64)
        assert np.allclose(channel[brain[0]], (values - values.mean()) / values.std(), atol=1e-5)
        assert (channel[~brain[0]] == 0).all()
    expected = {Region.WT: (1, 2, 3), Region.TC: (1, 3), Region.ET: (3,)}
    for mask, region in zip(label, Region, strict=True):
        assert np.array_equal(mask, np.isin(read[4][box], expected[region]))
        stored = case.foreground(region)
        assert mask[tuple(stored.T)].all()
        assert len(stored) == mask.sum()  # fewer than 10,000: all of them


def test_commands_and_spawned_workers(toy_world: Path, tmp_path: Path) -> None:
    paths = [f"paths.{name}={toy_world / name}" for name in ("adult", "ped")] + [f"paths.store={tmp_path / 's t'}"]
    command = [sys.executable, "-m", "pedseg.prepare", "scale=toy", "workers=2", *paths]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    for cohort in ("adult", "ped"):
        here, there = (root / cohort / "index.json" for root in (tmp_path / "s t", toy_world / "store"))
        assert json.loads(here.read_text())["cases"] == json.loads(there.read_text())["cases"]


def test_missing_path_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["paths.adult=null", f"paths.store={tmp_path}"]) == 2
    assert "PEDSEG_ADULT" in capsys.readouterr().err


def _filled(data: np.ndarray[Any, Any], *, where: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.where(where, np.int16(-1), data)


def test_a_background_that_is_not_0_prepares_the_same_arrays(raw: Path, tmp_path: Path) -> None:
    plain, other = tmp_path / "plain", tmp_path / "other"
    assert prepare(raw, plain) == 0
    for case in (raw / "ped").glob("BraTS-*"):
        paths = sorted(path for path in case.iterdir() if "seg" not in path.name)
        box, brain = find_brain([np.asarray(nib.load(path).dataobj).T for path in paths])
        outside = np.ones(nib.load(paths[0]).shape, dtype=bool)
        outside.T[box] = ~brain
        for path in paths:
            rewrite(path, partial(_filled, where=outside))
    assert prepare(raw, other, "data.cohorts.ped.background=-1") == 0
    arrays = sorted(path.relative_to(plain) for path in (plain / "ped").rglob("image.b2nd"))
    assert arrays
    assert all((plain / path).read_bytes() == (other / path).read_bytes() for path in arrays)
    assert read_json(other / "ped" / "settings.json")["background"] == -1
