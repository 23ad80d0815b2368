"""Folders of label maps against folders of labels."""

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pedseg.analysis.scoring import score_cases, score_folder
from pedseg.cases import find_cases
from pedseg.errors import PedsegError, ProblemsError
from pedseg.evaluate import main
from pedseg.labels import get_convention

BRATS = get_convention("brats2023")
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


def write(
    path: Path,
    *,
    corner: Sequence[int] = (2, 2, 2),
    value: int = 3,
    affine: NDArray[np.float64] = AFFINE,
) -> None:
    data = np.zeros((9, 8, 7), dtype=np.uint8)
    x, y, z = corner
    data[x : x + 3, y : y + 3, z : z + 3] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    predictions, labels = tmp_path / "the predictions", tmp_path / "the labels"
    for name in ("a", "b"):
        write(predictions / f"{name}.nii.gz")
        write(labels / f"{name}.nii.gz")
    write(predictions / "b.nii.gz", corner=(3, 2, 2))
    return predictions, labels


def test_flat_folders(folders: tuple[Path, Path], tmp_path: Path) -> None:
    table = score_folder(*folders, output=tmp_path / "scores.csv", convention=BRATS)
    assert list(table["case"]) == ["a"] * 3 + ["b"] * 3
    assert list(table["dice"]) == pytest.approx([1.0] * 3 + [2 / 3] * 3)
    assert list(table["hd95_mm"]) == [0.0] * 3 + [1.0] * 3
    assert set(table["label_volume_mm3"]) == {54.0}
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "scores.csv"), table, check_dtype=False)


def test_two_conventions_and_several_processes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, labels = folders
    for number in range(8):
        write(predictions / f"c{number}.nii.gz", value=4)
        write(labels / f"c{number}.nii.gz", value=4)
    for name in ("a", "b"):
        write(labels / f"{name}.nii.gz", value=4)
        write(predictions / f"{name}.nii.gz", value=4)
    old = get_convention("brats2021")
    together = score_folder(*folders, output=tmp_path / "1.csv", convention=old, workers=2)
    alone = score_folder(*folders, output=tmp_path / "2.csv", convention=old, workers=1)
    pd.testing.assert_frame_equal(together, alone)
    assert set(together["dice"]) == {1.0}


def test_cases_of_a_cohort(toy_world: Path, tmp_path: Path) -> None:
    cases = find_cases(toy_world / "ped", cohort="ped", labelled=True).cases
    for case in cases:
        assert case.label
        (tmp_path / "p").mkdir(exist_ok=True)
        (tmp_path / "p" / f"{case.id}.nii.gz").write_bytes(case.label.read_bytes())
    table = score_cases(tmp_path / "p", cases, output=tmp_path / "s.csv", convention=BRATS)
    assert set(table["dice"]) == {1.0}
    assert set(table["hd95_mm"]) == {0.0}
    again = score_folder(tmp_path / "p", toy_world / "ped", output=tmp_path / "t.csv", convention=BRATS)
    pd.testing.assert_frame_equal(again, table)


def test_problems_are_listed_and_nothing_is_written(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, labels = folders
    write(predictions / "a.nii.gz", affine=np.diag([1.0, 1.0, 2.0, 1.0]))
    write(predictions / "b.nii.gz", value=7)
    with pytest.raises(ProblemsError) as raised:
        score_folder(*folders, output=tmp_path / "scores.csv", convention=BRATS)
    assert [problem.case for problem in raised.value.problems] == ["a", "b"]
    assert "another affine" in str(raised.value)
    assert "label 7" in str(raised.value)
    assert not (tmp_path / "scores.csv").exists()
    write(predictions / "unknown.nii.gz")
    with pytest.raises(ProblemsError, match="unknown"):
        score_folder(*folders, output=tmp_path / "scores.csv", convention=BRATS)
    with pytest.raises(PedsegError, match="no such folder"):
        score_folder(predictions, labels / "absent", output=tmp_path / "scores.csv", convention=BRATS)


def test_command(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--predictions", str(folders[0]), "--labels", str(folders[1]), "--output", str(tmp_path / "s.csv")]
    assert main(arguments) == 0
    assert "2 cases" in capsys.readouterr().out
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0
    assert main([*arguments[2:], "--predictions", str(tmp_path / "absent"), "--overwrite"]) == 2
