"""What the check of a case tells about its images and its label."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from pedseg.cases import find_cases
from pedseg.imaging import read_images, read_label
from pedseg.imaging.integrity import check_case
from pedseg.labels import get_convention, measure_labels
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


def rows(child: Path, *, background: float | None = None) -> list[str]:
    """What the check finds: severity, file and what."""
    (case,) = find_cases(child.parent, cohort="ped", labelled=True).cases
    check = check_case(case, convention=get_convention("brats2023"), background=background)
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


def test_a_file_without_a_transform_is_said(child: Path) -> None:
    for path in child.iterdir():
        image = nib.load(path)
        image.set_sform(None, code=0)
        image.set_qform(None, code=0)
        nib.save(image, path)
    found = rows(child)
    assert len(found) == 4
    assert all(row.startswith("note") and "says nothing of its place" in row for row in found)
