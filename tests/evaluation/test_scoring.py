"""Folders of label maps against folders of labels."""

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pedseg.cases import find_cases
from pedseg.errors import PedsegError, ProblemsError
from pedseg.evaluation.pairing import pair_folder
from pedseg.evaluation.scoring import Conventions, score_cases, score_folder, score_pairs
from pedseg.labels import get_convention
from pedseg.metrics import Counts
from pedseg.metrics.empty import EMPTY_2023

BRATS = get_convention("brats2023")
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])
METRICS = ("dice", "hd95_mm", "sensitivity")
COLUMNS = [
    *METRICS,
    "specificity",
    "label_volume_mm3",
    "prediction_volume_mm3",
    "label_voxels",
    "raw_dice",
    "raw_hd95_mm",
]


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
    predictions, _ = folders
    write(predictions / "a.nii.gz", affine=np.diag([-1.0, -1.0, 1.5, 1.0]))
    write(predictions / "b.nii.gz", value=7)
    with pytest.raises(ProblemsError) as raised:
        score_folder(*folders, output=tmp_path / "scores.csv", convention=BRATS)
    assert [problem.case for problem in raised.value.problems] == ["a", "b"]
    assert "another affine" in str(raised.value)
    assert "corners lie up to" in str(raised.value)
    assert "label 7" in str(raised.value)
    assert not (tmp_path / "scores.csv").exists()


def test_what_can_be_scored_is(folders: tuple[Path, Path]) -> None:
    predictions, labels = folders
    (predictions / "a.nii.gz").write_bytes((predictions / "a.nii.gz").read_bytes()[:60])
    table, problems = score_pairs(pair_folder(predictions, labels), Conventions(BRATS, BRATS))
    assert list(table["case"]) == ["b"] * 3
    assert [problem.case for problem in problems] == ["a"]
    assert "truncated" in problems[0].what


def test_each_side_has_its_convention(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, _ = folders
    for name in ("a", "b"):
        write(predictions / f"{name}.nii.gz", value=4)
    old = get_convention("brats2021")
    table = score_folder(*folders, output=tmp_path / "s.csv", convention=BRATS, prediction_convention=old)
    assert set(table["dice"]) == {1.0}
    with pytest.raises(ProblemsError, match="label 4, which brats2023"):
        score_folder(*folders, output=tmp_path / "t.csv", convention=BRATS)


def test_volumes_and_distances_follow_the_axes_of_the_file(tmp_path: Path) -> None:
    """A shift along the file's z, whose voxels are 2 mm, is measured as such although arrays are (Z, Y, X)."""
    for axis, expected in enumerate((1.0, 1.0, 2.0)):
        moved = [2, 2, 2]
        moved[axis] += 1
        write(tmp_path / f"p{axis}" / "a.nii.gz", corner=moved)
        write(tmp_path / f"l{axis}" / "a.nii.gz")
        table = score_folder(
            tmp_path / f"p{axis}", tmp_path / f"l{axis}", output=tmp_path / f"{axis}.csv", convention=BRATS
        )
        assert set(table["hd95_mm"]) == {expected}


def test_raw_values_survive_the_file(tmp_path: Path) -> None:
    """Only WT is there (label 2); a prediction of ET leaves TC and ET with one empty mask."""
    write(tmp_path / "p" / "a.nii.gz")
    write(tmp_path / "l" / "a.nii.gz", value=2)
    write(tmp_path / "p" / "b.nii.gz", value=2)
    write(tmp_path / "l" / "b.nii.gz", value=2)
    score_folder(tmp_path / "p", tmp_path / "l", output=tmp_path / "s.csv", convention=BRATS)
    scores = pd.read_csv(tmp_path / "s.csv").set_index(["case", "region"])
    assert list(scores.columns)[: len(COLUMNS)] == COLUMNS
    assert list(scores.loc[("a", "et"), ["dice", "hd95_mm", "raw_dice", "raw_hd95_mm"]]) == [0.0, 374.0, 0.0, np.inf]
    assert list(scores.loc[("b", "et"), ["dice", "hd95_mm"]]) == [1.0, 0.0]
    assert scores.loc[("b", "et"), ["raw_dice", "raw_hd95_mm"]].isna().all()


def test_every_value_that_the_table_of_empty_masks_changes_is_kept(folders: tuple[Path, Path], tmp_path: Path) -> None:
    table = score_folder(*folders, output=tmp_path / "s.csv", convention=BRATS)
    changed = {metric for values in (EMPTY_2023.both, EMPTY_2023.one, EMPTY_2023.apart) for metric in values}
    assert {f"raw_{metric}" for metric in changed} <= set(table)


def test_definition_and_tolerance_reach_every_process_and_the_file(tmp_path: Path) -> None:
    write(tmp_path / "p" / "near.nii.gz", corner=(3, 2, 2))
    write(tmp_path / "p" / "apart.nii.gz", corner=(6, 2, 2))
    for name in ("near", "apart"):
        write(tmp_path / "l" / f"{name}.nii.gz")
    for settings, apart_mm, tolerance_mm in (
        ({"workers": 1}, 4.0, 1.0),
        ({"definition": "brats2025", "workers": 1}, 373.0, 0.5),
        ({"definition": "brats2025", "tolerance_mm": 99, "workers": 2}, 373.0, 99),
    ):
        output = tmp_path / "scores.csv"
        score_folder(tmp_path / "p", tmp_path / "l", output=output, convention=BRATS, **settings)
        table = pd.read_csv(output)
        assert list(table.columns)[-1] == "definition"
        assert set(table["definition"]) == {settings.get("definition", "brats2023")}
        assert set(table["surface_tolerance_mm"]) == {tolerance_mm}
        assert set(table.loc[table["case"] == "apart", "hd95_mm"]) == {apart_mm}
        assert (set(table.loc[table["case"] == "near", "surface_dice"]) == {1.0}) is (tolerance_mm >= 1)


def test_wrong_rules_are_told_before_anything_is_read(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for path in folders[0].iterdir():
        path.write_bytes(b"")
    with pytest.raises(PedsegError, match="use one of brats2023, brats2025"):
        score_folder(*folders, output=tmp_path / "s.csv", convention=BRATS, definition="brats2024")
    with pytest.raises(PedsegError, match="tolerance of -1 mm"):
        score_folder(*folders, output=tmp_path / "s.csv", convention=BRATS, tolerance_mm=-1)


def test_absent_regions_are_scored_as_published(shared: Path) -> None:
    """Dice, HD95 and sensitivity of ET where the children have none, in the published scores of all models."""
    sizes = pd.read_csv(shared / "reference" / "ped_tumor_sizes.csv")
    without = set(sizes.loc[(sizes["Region"] == "ET") & (sizes["Number of voxels"] == 0), "ID"])
    ours = {
        tuple(EMPTY_2023.resolve(metric, np.nan, Counts(tp=0, fp=fp, fn=0, tn=9)) for metric in METRICS)
        for fp in (0, 1)
    }
    for path in sorted((shared / "reference" / "per_case").glob("*.csv")):
        scores = pd.read_csv(path)
        absent = scores[scores["ID"].str.removesuffix(".nii.gz").isin(without)]
        assert len(absent) == 11
        assert set(absent[["Dice-ET", "HD95-ET", "Sensitivity-ET"]].itertuples(index=False, name=None)) <= ours
        quiet = absent[absent["Dice-ET"] == 1]
        assert (quiet["Specificity-ET"] == 1).all()


def test_what_the_labels_ignore_is_not_scored(tmp_path: Path) -> None:
    """Three voxels of 27 are ignored; the prediction has tumour on them, and in a value of its own that is ignored."""
    convention = get_convention({"et": 3, "nc": 1, "ed": 2, "ignore": [4, 5]})
    write(tmp_path / "l" / "a.nii.gz")
    write(tmp_path / "p" / "a.nii.gz", corner=(3, 2, 2))
    images = [nib.load(tmp_path / side / "a.nii.gz") for side in "pl"]
    prediction, label = (np.asarray(image.dataobj).copy() for image in images)
    ignored = [(3, 2, 2), (3, 3, 3), (5, 2, 2)]  # of both, of both, of the prediction alone
    for voxel in ignored:
        label[voxel] = 4
    prediction[6, 6, 6] = 5  # background: what a prediction leaves open is no tumour
    for side, data, image in zip("pl", (prediction, label), images, strict=True):
        nib.save(nib.Nifti1Image(data, image.affine), tmp_path / side / "a.nii.gz")
    table = score_folder(tmp_path / "p", tmp_path / "l", output=tmp_path / "s.csv", convention=convention)
    tp, fp, fn = 18 - 2, 9 - 1, 9
    assert set(table["dice"]) == {2 * tp / (2 * tp + fp + fn)}
    assert set(table["sensitivity"]) == {tp / (tp + fn)}
    tn = 9 * 8 * 7 - 3 - tp - fp - fn
    assert set(table["specificity"]) == {tn / (tn + fp)}
    assert set(table["label_voxels"]) == {25}
    assert set(table["prediction_volume_mm3"]) == {2.0 * (tp + fp)}
