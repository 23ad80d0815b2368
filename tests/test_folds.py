"""Folds: the published ones exactly, folds that keep patients together, and nnU-Net's files of them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pedseg.cases import patient_of
from pedseg.errors import PedsegError
from pedseg.folds import Fold, make_folds, patient_overlap, read_nnunet_splits, write_nnunet_splits
from tests.exactness import Exact

PEER_PROGRAM = """
import json, sys
import numpy as np
from nnunetv2.utilities.crossval_split import generate_crossval_split
folds = generate_crossval_split(np.sort(json.loads(sys.argv[1])).tolist())
print(json.dumps([{part: [str(case) for case in fold[part]] for part in fold} for fold in folds]))
"""
SINGLE = [f"BraTS-PED-{number:05d}-000" for number in range(13)]
REPEATED = [f"BraTS-GLI-{number:05d}-{session:03d}" for number in range(11) for session in range(1 + number % 3)]


@pytest.fixture(scope="session")
def published(shared: Path) -> Path:
    return shared / "reference" / "splits_final.json"


def ids_of(path: Path, cohort: str) -> list[str]:
    first = json.loads(path.read_text())[0]
    return [case for part in ("val", "train") for case in first[part] if case.startswith(cohort)]


def misplaced(fold: Fold, expected: dict[str, list[str]]) -> int:
    """Cases that are not in the same part, or not in the same place of it."""
    parts = ((fold.train, expected["train"]), (fold.validation, expected["val"]))
    assert all(len(ours) == len(theirs) for ours, theirs in parts)
    return sum(a != b for ours, theirs in parts for a, b in zip(ours, theirs, strict=True))


def published_row(cases: str) -> pytest.MarkDecorator:
    """Row of the page on exactness."""
    subject = f"Five folds of {cases}: cases in another part or place"
    return pytest.mark.exact(subject, section="Published results", peer="published folds of Fu et al.", tolerance=0)


@pytest.mark.parametrize(
    ("cohort", "count"),
    [
        pytest.param("BraTS-GLI", 1251, marks=published_row("1,251 adult cases")),
        pytest.param("BraTS-PED", 99, marks=published_row("99 paediatric cases")),
    ],
)
def test_published_folds_are_reproduced_in_order(published: Path, cohort: str, count: int, exact: Exact) -> None:
    ids = ids_of(published, cohort)
    assert len(ids) == count
    for fold, mixed in zip(make_folds(ids, grouping="published"), json.loads(published.read_text()), strict=True):
        exact(misplaced(fold, {part: [case for case in mixed[part] if case.startswith(cohort)] for part in mixed}))


@pytest.mark.exact(
    "Five folds of 99 and of 21 cases: cases in another part or place",
    section="Published results",
    peer="nnunetv2",
    tolerance=0,
)
def test_folds_equal_nnunets(peers_python: Path, exact: Exact) -> None:
    """With grouping "published"; by default the sessions of a patient are kept together, as nnU-Net does not."""
    for ids in ([f"BraTS-PED-{17 * number:05d}-000" for number in range(99)], REPEATED):
        command = [str(peers_python), "-c", PEER_PROGRAM, json.dumps(ids)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        theirs = json.loads(output.splitlines()[-1])
        for fold, expected in zip(make_folds(ids, grouping="published"), theirs, strict=True):
            exact(misplaced(fold, expected))


@pytest.mark.parametrize("cohort", ["BraTS-GLI", "BraTS-PED"])
def test_published_file_is_read_for_one_cohort(published: Path, cohort: str) -> None:
    ids = ids_of(published, cohort)
    assert read_nnunet_splits(published, ids) == make_folds(ids, grouping="published")


def test_published_file_is_read_for_both_cohorts(published: Path) -> None:
    adult, ped = ids_of(published, "BraTS-GLI"), ids_of(published, "BraTS-PED")
    folds = read_nnunet_splits(published, adult + ped)
    assert [len(fold.validation) for fold in folds] == [271, 270, 270, 270, 269]


def test_88_adult_patients_leak_in_the_published_folds_and_none_in_grouped_ones(published: Path) -> None:
    adult = ids_of(published, "BraTS-GLI")
    leaks = [patient_overlap(fold) for fold in make_folds(adult, grouping="published")]
    assert [len(patients) for patients in leaks] == [29, 30, 31, 42, 44]
    assert len({patient for patients in leaks for patient in patients}) == 88
    grouped = make_folds(adult, grouping="patient")
    assert not any(patient_overlap(fold) for fold in grouped)
    assert [len(fold.validation) for fold in grouped] == [260, 244, 258, 243, 246]


def test_grouping_changes_nothing_where_no_patient_repeats(published: Path) -> None:
    for ids in (ids_of(published, "BraTS-PED"), SINGLE, ["b", "a", "d", "c", "e"]):
        assert make_folds(ids, grouping="patient") == make_folds(ids, grouping="published")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_folds", [2, 3, 5, 11])
def test_grouped_folds_are_a_balanced_partition(n_folds: int, seed: int) -> None:
    folds = make_folds(REPEATED, n_folds=n_folds, seed=seed)
    assert len(folds) == n_folds
    assert sorted(case for fold in folds for case in fold.validation) == sorted(REPEATED)
    patients = [len({patient_of(case) for case in fold.validation}) for fold in folds]
    assert max(patients) - min(patients) <= 1
    for fold in folds:
        assert sorted(fold.train + fold.validation) == sorted(REPEATED)
        assert list(fold.train) == sorted(fold.train)
        assert list(fold.validation) == sorted(fold.validation)
        assert patient_overlap(fold) == ()


def test_folds_depend_on_the_seed_and_not_on_the_order() -> None:
    assert make_folds(REPEATED[::-1]) == make_folds(REPEATED)
    assert make_folds(REPEATED, seed=1) != make_folds(REPEATED)


@pytest.mark.parametrize(
    ("ids", "n_folds", "message"),
    [
        (SINGLE[:4], 5, "5 folds of 4 patients"),
        (["BraTS-GLI-00001-000", "BraTS-GLI-00001-001"], 2, "2 folds of 1 patients"),
        (SINGLE, 1, "1 folds of 13 patients"),
        ([*SINGLE, SINGLE[3]], 5, "BraTS-PED-00003-000"),
        ([], 5, "5 folds of 0 patients"),
    ],
)
def test_impossible_folds_are_refused(ids: list[str], n_folds: int, message: str) -> None:
    with pytest.raises(PedsegError, match=message):
        make_folds(ids, n_folds=n_folds)


def test_unknown_grouping_is_refused() -> None:
    with pytest.raises(PedsegError, match="'published' or 'patient'"):
        make_folds(SINGLE, grouping="site")  # type: ignore[arg-type]


def test_patient_overlap_by_hand() -> None:
    fold = Fold(("BraTS-GLI-00001-000", "BraTS-GLI-00002-000", "x"), ("BraTS-GLI-00001-001", "y"))
    assert patient_overlap(fold) == ("BraTS-GLI-00001",)


def test_files_are_written_as_nnunet_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "a folder" / "splits_final.json"
    folds = make_folds(REPEATED)
    write_nnunet_splits(path, folds)
    assert json.loads(path.read_text())[0] == {"train": list(folds[0].train), "val": list(folds[0].validation)}
    assert read_nnunet_splits(path, REPEATED) == folds


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_ids_are_compared_in_one_unicode_form(tmp_path: Path) -> None:
    composed, parted = "M\u00fcller_1", "Mu\u0308ller_1"
    path = write(tmp_path / "s.json", [{"train": [parted], "val": ["x_1"]}])
    assert read_nnunet_splits(path, [composed, "x_1"]) == [Fold((composed,), ("x_1",))]
    path = write(tmp_path / "s.json", [{"train": [composed, parted], "val": ["x_1"]}])
    with pytest.raises(PedsegError, match="listed twice"):
        read_nnunet_splits(path, [composed, "x_1"])


def test_ids_of_other_cohorts_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "s.json", [{"train": ["ped_2", "adult_1", "ped_1"], "val": ["adult_2", "ped_3"]}])
    assert read_nnunet_splits(path, ["ped_1", "ped_2", "ped_3"]) == [Fold(("ped_1", "ped_2"), ("ped_3",))]
    assert read_nnunet_splits(path, ["ped_1"], other_ids=["ped_2", "ped_3"]) == [Fold(("ped_1",), ())]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"train": ["c_1", "c_2"], "val": ["c_2", "c_3"]}], "fold 0: in both train and val: c_2"),
        ([{"train": ["c_1", "c_1"], "val": ["c_2", "c_3"]}], "fold 0: listed twice: c_1"),
        ([{"train": ["c_1"], "val": ["c_2", "c_3"]}, {"train": ["c_1"], "val": ["c_3"]}], "fold 1: in no part: c_2"),
        ([{"train": ["c_1", "c_04"], "val": ["c_2", "c_3"]}], "fold 0: not in the cohort: c_04"),
        ([{"train": ["x"], "val": ["y"]}], "fold 0: in no part: c_1, c_2, c_3"),
        ([], "list of"),
        ({"train": ["c_1"], "val": ["c_2"]}, "list of"),
        ([["c_1"], ["c_2"]], "list of"),
        ([{"train": ["c_1"]}], "list of"),
        ([{"train": [1], "val": [2]}], "list of"),
        ([{"train": "c_1", "val": "c_2"}], "list of"),
    ],
)
def test_wrong_split_files_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = write(tmp_path / "splits.json", content)
    with pytest.raises(PedsegError, match=message) as refusal:
        read_nnunet_splits(path, ["c_1", "c_2", "c_3"])
    assert str(path) in str(refusal.value)


def test_long_lists_of_ids_are_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "splits.json", [{"train": [], "val": []}])
    with pytest.raises(PedsegError, match="BraTS-PED-00004-000 and 8 more; add"):
        read_nnunet_splits(path, SINGLE)


def test_absent_and_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PedsegError, match="no such file"):
        read_nnunet_splits(tmp_path / "none.json", SINGLE)
    (tmp_path / "cut.json").write_text('[{"train": ["a"')
    with pytest.raises(PedsegError, match="not readable as JSON"):
        read_nnunet_splits(tmp_path / "cut.json", SINGLE)
