"""What the check of a case tells about its images and its label."""

import gzip
import math
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from pedseg.cases import find_cases
from pedseg.imaging import read_images, read_label
from pedseg.imaging.integrity import check_case, read_checked
from pedseg.labels import get_convention, measure_labels, read_convention
from tests.imaging.turned import turn


def z_scores(data: NDArray[np.generic]) -> NDArray[np.float32]:
    """Of the whole volume, by what is not 0."""
    brain = data[data != 0].astype(np.float32)
    scores: NDArray[np.float32] = (data.astype(np.float32) - brain.mean()) / float(brain.std())
    return scores


def test_evidence_is_that_of_whole_volumes(toy_world: Path) -> None:
    case = find_cases(toy_world / "ped", cohort="ped", labelled=True).cases[0]
    assert case.label
    t1n, t1c, *_ = read_images(case.images)
    expected = measure_labels(read_label(case.label), z_scores(t1c.data) - z_scores(t1n.data))
    check = check_case(case, convention=get_convention("brats2023"))
    assert not check.findings
    assert check.evidence == expected


@pytest.fixture
def child(toy_world: Path, tmp_path: Path) -> Path:
    """A child's folder that may be written to."""
    source = sorted((toy_world / "ped").iterdir())[0]
    shutil.copytree(source, tmp_path / "ped" / source.name)
    return tmp_path / "ped" / source.name


def rows(child: Path, *, background: float | None = None, convention: str = "brats2023") -> list[str]:
    """What the check finds: severity, file and what."""
    (case,) = find_cases(child.parent, cohort="ped", labelled=True).cases
    check = check_case(case, convention=read_convention(convention), background=background)
    return [f"{row.severity}: {row.file.removeprefix(f'{child.name}-')}: {row.what}" for row in check.findings]


def rewrite(path: Path, data: NDArray[np.generic], affine: NDArray[np.float64] | None) -> None:
    """Put other voxels (x, y, z) into a file."""
    nib.save(nib.Nifti1Image(data, affine), path)


def test_what_is_said_of_images_and_label(child: Path) -> None:
    t1n, t1c, label = (child / f"{child.name}-{name}.nii.gz" for name in ("t1n", "t1c", "seg"))
    first, mask = nib.load(t1n), nib.load(label)
    voxels, tumour = np.asarray(first.dataobj), np.asarray(mask.dataobj)
    original = t1c.read_bytes()
    shutil.copy(t1n, t1c)
    assert any("t1n and t1c have the same voxels" in row and row.startswith("problem") for row in rows(child))
    rewrite(t1c, np.where(voxels != 0, 7, 0).astype(np.int16), first.affine)
    assert any("t1c has one value wherever it is not background" in row for row in rows(child))
    t1c.write_bytes(original)
    turn(label, "RAS")
    assert [row.partition(":")[0] for row in rows(child)] == ["note"]
    rewrite(label, np.roll(tumour, tumour.shape[0] // 2, axis=0), mask.affine)
    assert any(row.startswith("problem: seg.nii.gz") and "outside" in row for row in rows(child))


def test_ignored_voxels_may_lie_anywhere(child: Path) -> None:
    """A field of view in which nothing was outlined reaches out of the brain, where tumour would be a mistake."""
    label = child / f"{child.name}-seg.nii.gz"
    mask = nib.load(label)
    voxels = np.asarray(mask.dataobj).copy()
    voxels[:2] = 4
    rewrite(label, voxels, mask.affine)
    assert rows(child, convention="{et: 3, nc: 1, ed: 2, ignore: 4}") == []
    assert "label 4" in rows(child)[0]
    assert "outside the brain" in rows(child, convention="{et: 3, nc: 1, ed: [2, 4]}")[0]


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_values_that_cannot_be_normalised(child: Path, scale: float) -> None:
    path = child / f"{child.name}-t1c.nii.gz"
    image = nib.load(path)
    rewrite(path, image.get_fdata() * scale, image.affine)
    (row,) = rows(child)
    assert row.startswith("problem: t1c.nii.gz: the values of t1c go from ")


def test_a_file_without_a_transform_is_said(child: Path) -> None:
    for path in child.iterdir():
        image = nib.load(path)
        image.set_sform(None, code=0)
        image.set_qform(None, code=0)
        nib.save(image, path)
    found = rows(child)
    assert len(found) == 4
    assert all(row.startswith("note") and "says nothing of its place" in row for row in found)


def change(path: Path, way: Callable[[NDArray[np.generic]], NDArray[np.generic]], **header: float) -> None:
    """Store other voxels (x, y, z), and other numbers in the header."""
    image = nib.load(path)
    changed = nib.Nifti1Image(way(np.asarray(image.dataobj)), image.affine)
    changed.to_filename(path)
    if header:
        raw = bytearray(gzip.decompress(path.read_bytes()))
        for name, value in header.items():
            struct.pack_into("<f", raw, {"scl_slope": 112, "scl_inter": 116}[name], value)
        path.write_bytes(gzip.compress(bytes(raw)))


@pytest.mark.parametrize(
    ("slope", "said"),
    [(1e30, "problem: t1c.nii.gz: the values of t1c go from 0 to"), (1e-30, "which are none of an image"),
     (math.inf, "has an infinite scl_slope"), (math.nan, ""), (0, ""), (0.5, "")],
)  # fmt: skip
def test_scaling_that_is_none(child: Path, slope: float, said: str) -> None:
    change(child / f"{child.name}-t1c.nii.gz", lambda a: a, scl_slope=slope)
    found = rows(child)
    assert said in found[0] if said else not found


def test_one_image_that_goes_on_where_others_end(child: Path) -> None:
    t1c = child / f"{child.name}-t1c.nii.gz"
    original = t1c.read_bytes()
    change(t1c, lambda a: np.where(a == 0, 7, a).astype(np.int16))
    assert rows(child) == ["problem: t1c.nii.gz: t1c is 7 where all other images are background"]
    assert not rows(child, background=7)
    t1c.write_bytes(original)
    noise = np.random.default_rng(0).integers(1, 400, nib.load(t1c).shape)
    change(t1c, lambda a: np.where(a == 0, noise, a).astype(np.int16))
    found = rows(child)
    assert found[0] == "warning: t1c.nii.gz: t1c goes on in 100% of the voxels where all other images are background"


def test_sequences_that_are_exchanged(child: Path) -> None:
    """A case by itself is told to whoever reads it, as its cohort is not known there."""

    def remarks() -> list[str]:
        (case,) = find_cases(child.parent, cohort="ped", labelled=False).cases
        return [str(row) for row in read_checked(case).remarks]

    assert not remarks()
    exchange(child, "t2w", "t2f")
    (said,) = remarks()
    assert said.startswith(f"warning: {child.name}: t2w and t2f look exchanged: the tail of their difference is -")


def exchange(case: Path, one: str, other: str) -> None:
    first, second = (case / f"{case.name}-{name}.nii.gz" for name in (one, other))
    first.rename(case / "between")
    second.rename(first)
    (case / "between").rename(second)


def off_centre(child: Path) -> None:
    """A bright lesion in the right front of the brain, and its label."""
    label = child / f"{child.name}-seg.nii.gz"
    brain = np.asarray(nib.load(child / f"{child.name}-t2w.nii.gz").dataobj) != 0
    place = np.argwhere(brain).mean(axis=0).astype(int) - (3, 2, -2)
    box = tuple(slice(p - 1, p + 2) for p in place)
    mask = np.zeros(brain.shape, dtype=bool)
    mask[box] = brain[box]
    change(label, lambda a: np.where(mask, 2, 0).astype(np.uint8))
    for name in ("t2w", "t2f"):
        path = child / f"{child.name}-{name}.nii.gz"
        change(path, lambda a: np.where(mask, int(np.percentile(a[brain], 99)), a).astype(np.int16))


@pytest.mark.parametrize(("axis", "letter"), [(0, "x"), (1, "y"), (2, "z")])
def test_a_label_that_is_turned_over(child: Path, axis: int, letter: str) -> None:
    off_centre(child)
    assert not rows(child)
    change(child / f"{child.name}-seg.nii.gz", lambda a: np.flip(a, axis))
    found = rows(child)
    assert any(f"turned over along {letter} it would lie at" in row for row in found), found


def test_a_label_of_another_place(child: Path) -> None:
    """On the darkest part of the brain, with nothing brighter in any turned place."""
    off_centre(child)
    for name in ("t2w", "t2f"):
        path = child / f"{child.name}-{name}.nii.gz"
        change(path, lambda a: np.where(a != 0, a.max() + 1 - a, 0).astype(np.int16))
    assert any("it is no brighter than brain" in row or "turned over" in row for row in rows(child))
