"""Label maps and labels put together, and everything that is wrong told at once."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pedseg.cases import Case
from pedseg.errors import PedsegError, ProblemsError
from pedseg.evaluation.pairing import Pair, find_labels, pair_cases, pair_folder
from tests.builders import MODALITIES, write_case


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def case(name: str, label: Path | None = Path("label.nii")) -> Case:
    return Case(name, name, "ped", (), label)


def test_cases_by_either_ending(tmp_path: Path) -> None:
    predictions = touch(tmp_path, "a.nii.gz", "b.nii", "other.nii.gz", ".c.nii.gz")
    pairs = pair_cases(predictions, [case("a"), case("b")])
    assert pairs == [
        Pair("a", tmp_path / "a.nii.gz", Path("label.nii")),
        Pair("b", tmp_path / "b.nii", Path("label.nii")),
    ]


def test_every_problem_of_the_cases_is_told(tmp_path: Path) -> None:
    predictions = touch(tmp_path, "a.nii.gz", "twice.nii", "twice.nii.gz", ".hidden.nii.gz")
    cases = [case("a"), case("gone"), case("twice"), case("hidden"), case("a", None)]
    with pytest.raises(ProblemsError, match="4 cases have problems") as raised:
        pair_cases(predictions, cases)
    assert [problem.case for problem in raised.value.problems] == ["gone", "twice", "hidden", "a"]
    with pytest.raises(PedsegError, match="no case"):
        pair_cases(predictions, [])


@pytest.mark.parametrize("suffix", ["", "-seg", "_seg"])
def test_flat_folder_of_labels(tmp_path: Path, suffix: str) -> None:
    predictions = touch(tmp_path / "p", "a.nii.gz", "b.nii.gz")
    labels = touch(tmp_path / "l", f"b{suffix}.nii.gz", f"a{suffix}.nii")
    assert [(pair.case, pair.label.name) for pair in pair_folder(predictions, labels)] == [
        ("a", f"a{suffix}.nii"),
        ("b", f"b{suffix}.nii.gz"),
    ]


def test_automated_labels_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    predictions = touch(tmp_path / "p", "U_11.nii.gz")
    labels = touch(tmp_path / "l", "U_11_automated_approx_segm.nii.gz")
    assert [pair.label.name for pair in pair_folder(predictions, labels)] == ["U_11_automated_approx_segm.nii.gz"]
    assert "1 labels are automated approximations" in caplog.text


def test_a_table_of_labels(tmp_path: Path) -> None:
    predictions = touch(tmp_path / "p", "a.nii.gz", "Mu\u0308ller.nii.gz")
    touch(tmp_path / "l", "one.nii.gz", "two.nii.gz")
    table = tmp_path / "labels.csv"
    table.write_text("case,label\na,l/one.nii.gz\nM\u00fcller,l/two.nii.gz\n", encoding="utf-8")
    assert [(pair.case, pair.label.name) for pair in pair_folder(predictions, table)] == [
        ("M\u00fcller", "two.nii.gz"),
        ("a", "one.nii.gz"),
    ]
    table.write_text("case,label\na,l/gone.nii.gz\n")
    with pytest.raises(ProblemsError, match=r"labels\.csv: line 2, column label: .*gone\.nii\.gz: no such file"):
        pair_folder(predictions, table, subset=True)


def test_images_beside_the_labels_are_none(tmp_path: Path) -> None:
    predictions = touch(tmp_path / "p", "a.nii.gz")
    labels = touch(tmp_path / "l", "a-seg.nii.gz", *(f"a-{modality}.nii.gz" for modality in MODALITIES))
    assert [pair.label.name for pair in pair_folder(predictions, labels)] == ["a-seg.nii.gz"]


def test_folders_of_cases(tmp_path: Path) -> None:
    predictions = touch(tmp_path / "p", "BraTS-PED-90001-000.nii.gz")
    for number in (1, 2):
        name = f"BraTS-PED-9000{number}-000"
        touch(write_case(tmp_path / "l", name), f"{name}-seg.nii.gz")
    with pytest.raises(ProblemsError, match=r"90002-000\.nii\.gz: is not in"):
        pair_folder(predictions, tmp_path / "l")
    pairs = pair_folder(predictions, tmp_path / "l", subset=True)
    assert [pair.case for pair in pairs] == ["BraTS-PED-90001-000"]
    (tmp_path / "l" / "BraTS-PED-90002-000" / "BraTS-PED-90002-000-t1c.nii.gz").unlink()
    assert pair_folder(predictions, tmp_path / "l", subset=True) == pairs  # not among the predicted
    with pytest.raises(ProblemsError, match="no t1c image"):
        pair_folder(predictions, tmp_path / "l")


def test_a_label_without_prediction_is_not_dropped_in_silence(tmp_path: Path) -> None:
    predictions, labels = touch(tmp_path / "p", "a.nii.gz"), touch(tmp_path / "l", "a.nii.gz", "b.nii.gz", "c.nii.gz")
    with pytest.raises(ProblemsError) as raised:
        pair_folder(predictions, labels)
    assert [problem.case for problem in raised.value.problems] == ["b", "c"]
    assert "--subset" in str(raised.value)
    assert [pair.case for pair in pair_folder(predictions, labels, subset=True)] == ["a"]


def test_a_prediction_without_label_is_told(tmp_path: Path) -> None:
    predictions, labels = touch(tmp_path / "p", "a.nii.gz", "x.nii.gz"), touch(tmp_path / "l", "a.nii.gz")
    for subset in (False, True):
        with pytest.raises(ProblemsError, match=r"1 case has problems:\n  x · x.nii.gz: has no label"):
            pair_folder(predictions, labels, subset=subset)


def test_two_labels_of_one_case(tmp_path: Path) -> None:
    predictions, labels = touch(tmp_path / "p", "a.nii.gz"), touch(tmp_path / "l", "a-seg.nii.gz", "a_seg.nii.gz")
    with pytest.raises(ProblemsError, match="several labels"):
        pair_folder(predictions, labels)


@pytest.mark.parametrize(
    "form", ["{0}/{0}-seg.nii.gz", "{0}/{0}_seg.nii", "{0}/{0}.nii.gz", "{0}.NII.GZ", "{0}-seg.nii.gz"]
)
def test_labels_without_images(tmp_path: Path, form: str) -> None:
    """Labels of a challenge that are handed out alone, in any of the usual trees."""
    predictions = touch(tmp_path / "p", "a.nii.gz", "b-seg.nii.gz", "c.NII.GZ", "predictions.json", "._a.nii.gz")
    for name in "abc":
        path = tmp_path / "l" / form.format(name)
        touch(path.parent, path.name)
    pairs = pair_folder(predictions, tmp_path / "l")
    assert [(pair.case, pair.label) for pair in pairs] == [(n, tmp_path / "l" / form.format(n)) for n in "abc"]


def test_probabilities_beside_predictions_are_passed_over(tmp_path: Path) -> None:
    predictions, labels = touch(tmp_path / "p", "a.nii.gz"), touch(tmp_path / "l", "a.nii.gz")
    nib.save(
        nib.Nifti1Image(np.zeros((2, 2, 2, 3), dtype=np.float32), np.eye(4)), predictions / "a_probabilities.nii.gz"
    )
    assert [pair.case for pair in pair_folder(predictions, labels)] == ["a"]


def test_folders_that_cannot_be_meant(tmp_path: Path) -> None:
    full, empty = touch(tmp_path / "p", "a.nii.gz"), touch(tmp_path / "e")
    for predictions, labels, message in (
        (full, full, "two folders"),
        (empty, full, "no label map in it"),
        (tmp_path / "absent", full, "no such folder"),
        (full, tmp_path / "absent", "no such folder"),
        (full, empty, "nothing recognised"),
    ):
        with pytest.raises(PedsegError, match=message):
            pair_folder(predictions, labels)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("x", "y", "z", "no_gt"), {"x": "x", "y": "y", "z": "z", "no": "no_gt"}),  # a name by accident
        (("a_seg", "a_t1", "b_seg", "b_flair"), {"a": "a_seg", "b": "b_seg"}),  # beside images
        (("a_seg", "b_seg", "atlas"), {"a": "a_seg", "b": "b_seg"}),
        (("a", "b"), {"a": "a", "b": "b"}),
    ],
)
def test_labels_among_other_files(tmp_path: Path, names: tuple[str, ...], found: dict[str, str]) -> None:
    for name in names:
        (tmp_path / f"{name}.nii.gz").write_bytes(b"")
    labels, problems = find_labels(tmp_path)
    assert {case: path.name.removesuffix(".nii.gz") for case, path in labels.items()} == found
    assert problems == []
