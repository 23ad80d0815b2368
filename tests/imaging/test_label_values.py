"""Labels of a whole folder, looked at before any file is used."""

import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pedseg.cases.label_maps import Known
from pedseg.errors import ProblemsError
from pedseg.imaging.label_values import check_values, has_several_volumes, survey
from pedseg.labels import get_convention

KNOWN = Known(get_convention("brats2023"), "given by --convention", stated=True)


def write(path: Path, voxels: object, dtype: type = np.uint8) -> Path:
    nib.save(nib.Nifti1Image(np.array(voxels, dtype=dtype).reshape(2, 2, -1), np.eye(4)), path)
    return path


def test_what_files_hold(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    held = {"a": [0, 1, 3, 0], "b": [0] * 4, "c": [-1, 2, 2, 0]}
    a, b, c = (write(tmp_path / f"{name}.nii.gz", voxels, np.int16) for name, voxels in held.items())
    many, soft, bad = (tmp_path / f"{name}.nii.gz" for name in ("many", "soft", "bad"))
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2, 3), dtype=np.float32), np.eye(4)), many)
    write(soft, [0, 0.5, 1, 1], np.float32)
    bad.write_bytes(b"nothing")
    with caplog.at_level(logging.WARNING):
        found = survey([a, b, c, many, soft, bad, tmp_path / "absent.nii.gz"])
    assert found.values == {a: {1, 3}, b: set(), c: {-1, 2}}
    assert found.every == {-1, 1, 2, 3}
    assert list(found.others) == [many]
    assert "many.nii.gz is left out" in caplog.text
    assert list(found.unreadable) == [soft, bad, tmp_path / "absent.nii.gz"]
    assert "0.5 is no whole number" in found.unreadable[soft]
    assert has_several_volumes(many)
    assert not has_several_volumes(a)


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", [0, 1, 3, 0])
    assert survey([path]).every == {1, 3}
    write(path, [0, 1, 3, 0, 0, 2, 2, 2])
    assert survey([path]).every == {1, 2, 3}


def test_a_foreign_label_refuses_all(tmp_path: Path) -> None:
    values = {tmp_path / f"{n}.nii.gz": frozenset({1, 2}) for n in range(20)}
    check_values(values, KNOWN, option="--convention")
    values |= {tmp_path / f"x{n}.nii.gz": frozenset({2, 4}) for n in range(12)}
    with pytest.raises(ProblemsError) as refusal:
        check_values(values, KNOWN, option="--convention")
    text = str(refusal.value)
    assert "12 of 32 label maps hold labels that brats2023 (ET 3, NC 1, ED 2) lacks, given by --convention" in text
    assert (
        "Together they hold 1+2+4; conventions that have all of these: brats2021 (ET 4, NC 1, ED 2); brats_ped2024"
        in text
    )
    assert f"{tmp_path / 'x0.nii.gz'}: holds label 4" in text
    assert "and 2 more" in text
    with pytest.raises(ProblemsError, match="none of brats2021, brats2023"):
        check_values({tmp_path / "a.nii": frozenset({9})}, KNOWN, option="--convention")
