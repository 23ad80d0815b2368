"""Every layout that users have, with the official file names; the files are empty, for nothing is opened."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pedseg.cases import Case, Discovery, ImageFile, find_cases
from pedseg.errors import PedsegError

OLD = ("t1", "t1ce", "t2", "flair", "seg")
NEW = ("t1n", "t1c", "t2w", "t2f", "seg")
DECATHLON = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def make_case(
    folder: Path, case: str, roles: Iterable[str] = NEW, *, separator: str = "-", ending: str = ".nii.gz"
) -> list[Path]:
    """Create the files of a case right in `folder`."""
    paths = [folder / f"{case}{separator}{role}{ending}" for role in roles]
    touch(*paths)
    return paths


def make_numbered(folder: Path, case: str, channels: Sequence[int] = (0, 1, 2, 3)) -> list[Path]:
    paths = [folder / f"{case}_{channel:04d}.nii.gz" for channel in channels]
    touch(*paths)
    return paths


def write_dataset(folder: Path, key: str, names: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps({key: names, "labels": {"background": 0}}))


def find(folder: Path, *, labelled: bool = True) -> Discovery:
    return find_cases(folder, cohort="adult", labelled=labelled)


def only(discovery: Discovery) -> Case:
    assert discovery.problems == ()
    (case,) = discovery.cases
    return case


def files(case: Case) -> list[str]:
    return [image.path.name for image in case.images]


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".NII.GZ"])
@pytest.mark.parametrize(
    ("case", "separator", "roles"),
    [
        ("BraTS2021_00001", "_", OLD),
        ("Brats18_2013_0_1", "_", OLD),
        ("BraTS-PED-00002-000", "-", NEW),
        ("UPENN-GBM-00006_11", "_", ("T1", "T1GD", "T2", "FLAIR", "segm")),
        ("odd one", "_", ("T1", "t1Gd", "T2", "Flair", "Seg")),
    ],
)
@pytest.mark.parametrize("flat", [True, False])
def test_brats_namings(
    tmp_path: Path, case: str, separator: str, roles: Sequence[str], ending: str, *, flat: bool
) -> None:
    folder = tmp_path / "a cohort" if flat else tmp_path / "a cohort" / case
    *images, label = make_case(folder, case, roles, separator=separator, ending=ending)
    found = only(find(tmp_path / "a cohort"))
    assert (found.id, found.cohort) == (case, "adult")
    assert found.images == tuple(map(ImageFile, images))
    assert found.label == label
    assert only(find(tmp_path / "a cohort", labelled=False)).label is None


def test_real_cases(shared: Path) -> None:
    found = find(shared / "real", labelled=False)
    assert [(case.id, case.patient) for case in found.cases] == [
        ("BraTS-GLI-00001-000", "BraTS-GLI-00001"),
        ("UPENN-GBM-00006_11", "UPENN-GBM-00006"),
    ]
    assert all(image.path.is_file() for case in found.cases for image in case.images)


def test_grades_releases_and_cohorts_side_by_side(tmp_path: Path) -> None:
    make_case(tmp_path / "MICCAI 2018" / "LGG" / "Brats18_B_1", "Brats18_B_1", OLD, separator="_")
    make_case(tmp_path / "MICCAI 2018" / "HGG" / "Brats18_A_1", "Brats18_A_1", OLD, separator="_")
    make_case(tmp_path / "2023" / "BraTS-GLI-00001-000", "BraTS-GLI-00001-000")
    make_case(tmp_path / "flat", "BraTS-GLI-00001-001")
    write_dataset(tmp_path / "Dataset001" / "raw", "channel_names", dict(zip("0123", OLD, strict=False)))
    make_numbered(tmp_path / "Dataset001" / "raw" / "imagesTr", "case7")
    touch(tmp_path / "Dataset001" / "raw" / "labelsTr" / "case7.nii.gz")
    found = find(tmp_path)
    assert found.problems == ()
    assert [case.id for case in found.cases] == [
        "BraTS-GLI-00001-000",
        "BraTS-GLI-00001-001",
        "Brats18_A_1",
        "Brats18_B_1",
        "case7",
    ]
    assert [case.patient for case in found.cases[:3]] == ["BraTS-GLI-00001", "BraTS-GLI-00001", "Brats18_A"]


def test_images_and_labels_in_folders_of_their_own(tmp_path: Path) -> None:
    make_case(tmp_path / "images_structural" / "A_11", "A_11", ("T1", "T1GD", "T2", "FLAIR"), separator="_")
    label = make_case(tmp_path / "images_segm", "A_11", ["segm"], separator="_")
    assert only(find(tmp_path)).label == label[0]


def test_stray_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "BraTS-GLI-00001-000"
    make_case(folder, folder.name)
    make_case(folder, f"._{folder.name}")
    make_case(tmp_path / ".trash" / "BraTS-GLI-00002-000", "BraTS-GLI-00002-000")
    make_case(tmp_path.joinpath(*"abcdefgh") / "too deep", "BraTS-GLI-00003-000")
    touch(*(tmp_path / name for name in (".DS_Store", "README", "name_mapping.csv", "dataset.json", "atlas.nii.gz")))
    touch(folder / "BraTS-GLI-00001-000-dwi.nii.gz", folder / "notes t1.txt", folder / "BraTS-GLI-00001-000-t1n.json")
    found = find(tmp_path)
    assert only(found).id == folder.name
    assert [remark.file for remark in found.remarks] == ["a/b/c/d/e/f/g/h", "atlas.nii.gz"]


def test_links_to_cases_and_files_are_followed_and_kept(tmp_path: Path) -> None:
    store, cohort = tmp_path / "store", tmp_path / "co hort"
    make_case(store / "one", "BraTS-GLI-00001-000")
    cohort.mkdir()
    (cohort / "one").symlink_to(store / "one", target_is_directory=True)
    (cohort / "again").symlink_to(cohort, target_is_directory=True)  # a loop
    for role in NEW:
        touch(store / f"blob {role}")
        (cohort / f"BraTS-GLI-00002-000-{role}.nii.gz").symlink_to(store / f"blob {role}")
    found = find(cohort)
    assert found.problems == ()
    assert [case.id for case in found.cases] == ["BraTS-GLI-00001-000", "BraTS-GLI-00002-000"]
    assert found.cases[0].label == cohort / "one" / "BraTS-GLI-00001-000-seg.nii.gz"


def test_links_to_nothing_are_problems(tmp_path: Path) -> None:
    make_case(tmp_path, "A-1", NEW[1:])
    make_case(tmp_path, "B-1")
    (tmp_path / "A-1-t1n.nii.gz").symlink_to(tmp_path / "gone.nii.gz")
    (tmp_path / "C-1").symlink_to(tmp_path / "gone")
    (tmp_path / "D-1").symlink_to(tmp_path / "D-1")
    found = find(tmp_path)
    assert [case.id for case in found.cases] == ["B-1"]
    assert [(p.case, p.file, p.what) for p in found.problems] == [
        ("A-1", "A-1-t1n.nii.gz", "a link to nothing"),
        ("C-1", "C-1", "a link to nothing"),
        ("D-1", "D-1", "a link to nothing"),
    ]


def test_decathlon_channels_are_ordered_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "Task01_BrainTumour"
    write_dataset(folder, "modality", DECATHLON)
    image, label = folder / "imagesTr" / "BRATS_001.nii.gz", folder / "labelsTr" / "BRATS_001.nii.gz"
    touch(image, label, folder / "imagesTr" / "._BRATS_001.nii.gz", folder / "imagesTs" / "BRATS_485.nii.gz")
    found = only(find(folder))
    assert found.images == tuple(ImageFile(image, volume) for volume in (1, 2, 3, 0))
    assert (found.id, found.patient, found.label) == ("BRATS_001", "BRATS_001", label)
    assert only(find(folder / "imagesTr")) == found
    assert only(find(folder / "imagesTs", labelled=False)).id == "BRATS_485"


def test_nnunet_raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "Dataset082_BraTS"
    write_dataset(folder, "channel_names", {"0": "T2-FLAIR", "1": "T2", "2": "T1Gd", "3": "T1", "4": "ADC"})
    case = "BraTS-GLI-00009-001"
    make_numbered(folder / "imagesTr", case, (0, 1, 2, 3, 4))
    touch(folder / "labelsTr" / f"{case}.nii.gz")
    make_numbered(folder / "imagesTs", "test_1")
    found = only(find(folder))
    assert files(found) == [f"{case}_000{channel}.nii.gz" for channel in (3, 2, 1, 0)]
    assert (found.patient, found.label) == ("BraTS-GLI-00009", folder / "labelsTr" / f"{case}.nii.gz")
    assert find(folder).ignored == frozenset()
    dataset = folder / "dataset.json"
    dataset.write_text(json.dumps(json.loads(dataset.read_text()) | {"labels": {"background": 0, "ignore": 4}}))
    assert find(folder).ignored == {4}
    assert find(folder, labelled=False).ignored == frozenset()  # whose labels are not looked at
    assert only(find(folder / "imagesTr")) == found
    monkeypatch.chdir(folder / "imagesTr")
    assert only(find(Path())) == found
    assert only(find(folder / "imagesTs", labelled=False)).id == "test_1"
    assert [p.file for p in find(folder / "imagesTs").problems] == [str(folder / "labelsTs" / "test_1.nii.gz")]


def test_bare_folder_of_numbered_files(tmp_path: Path) -> None:
    make_numbered(tmp_path / "set" / "to predict", "x")
    with pytest.raises(PedsegError, match=r"no dataset\.json here or in the folder above") as refusal:
        find(tmp_path / "set" / "to predict", labelled=False)
    assert str(tmp_path / "set" / "dataset.json") in str(refusal.value)
    write_dataset(tmp_path / "set", "channel_names", DECATHLON)
    assert files(only(find(tmp_path / "set" / "to predict", labelled=False)))[0] == "x_0001.nii.gz"
    write_dataset(tmp_path / "set" / "to predict", "channel_names", dict(zip("0123", NEW, strict=False)))
    assert files(only(find(tmp_path / "set" / "to predict", labelled=False)))[0] == "x_0000.nii.gz"


def test_channels_without_meaning_are_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path, "channel_names", {str(index): f"MRI{index}" for index in range(4)})
    make_numbered(tmp_path / "imagesTr", "x")
    with pytest.raises(PedsegError, match="MRI0"):
        find(tmp_path)


def test_incomplete_cases_are_problems_with_file_and_fix(tmp_path: Path) -> None:
    make_case(tmp_path / "A", "A-1", ("t1n", "t2w", "t2f", "seg"))
    make_case(tmp_path / "B", "B_1", OLD[:-1], separator="_")
    touch(tmp_path / "B" / "W39_1998.09.19.nii")
    make_case(tmp_path / "C", "C-1")
    make_case(tmp_path / "D", "D-1", ["seg"])
    found = find(tmp_path)
    assert [case.id for case in found.cases] == ["C-1"]
    assert [(p.case, p.file, p.what) for p in found.problems] == [
        ("A-1", "A/A-1-t1c.nii.gz", "no t1c image"),
        ("B_1", "B/B_1_seg.nii.gz", "no label"),
        ("D-1", "D/D-1-seg.nii.gz", "a label without images"),
    ]
    assert found.problems[0].fix == "add the file or remove the case; `pedseg predict --allow-missing` does without it"
    assert "--allow-missing" not in found.problems[1].fix
    assert "W39_1998.09.19.nii" in found.problems[1].fix
    assert [(p.case, p.what) for p in find(tmp_path, labelled=False).problems] == [("A-1", "no t1c image")]


def test_incomplete_numbered_cases(tmp_path: Path) -> None:
    write_dataset(tmp_path, "channel_names", DECATHLON)
    make_numbered(tmp_path / "imagesTr", "a", (0, 1, 3))
    make_numbered(tmp_path / "imagesTr", "b")
    touch(tmp_path / "labelsTr" / "a.nii.gz", tmp_path / "labelsTr" / "c.nii.gz")
    found = find(tmp_path)
    assert found.cases == ()
    assert [(p.case, p.file, p.what) for p in found.problems] == [
        ("a", "imagesTr/a_0002.nii.gz", "no t1c image"),
        ("b", "labelsTr/b.nii.gz", "no label"),
        ("c", "labelsTr/c.nii.gz", "a label without images"),
    ]


def test_duplicates_are_problems(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        make_case(tmp_path / folder, "A-1")
    make_case(tmp_path, "B-1")
    make_case(tmp_path, "B-1", ["t2w"], ending=".nii")
    make_case(tmp_path, "C_1", (*OLD, "t1gd"), separator="_")
    make_case(tmp_path, "D-1")
    found = find(tmp_path)
    assert [case.id for case in found.cases] == ["D-1"]
    assert [(p.case, p.file, p.what) for p in found.problems] == [
        ("A-1", "first, second", "the case is in 2 folders"),
        ("B-1", "B-1-t2w.nii, B-1-t2w.nii.gz", "2 files for t2w"),
        ("C_1", "C_1_t1ce.nii.gz, C_1_t1gd.nii.gz", "2 files for t1c"),
    ]


def test_duplicate_decathlon_file_is_one_problem(tmp_path: Path) -> None:
    write_dataset(tmp_path, "modality", DECATHLON)
    touch(*(tmp_path / "imagesTr" / f"BRATS_001{ending}" for ending in (".nii", ".nii.gz")))
    (problem,) = find(tmp_path, labelled=False).problems
    assert problem.file == "imagesTr/BRATS_001.nii, imagesTr/BRATS_001.nii.gz"


def test_ids_that_cannot_name_files_are_problems(tmp_path: Path) -> None:
    make_case(tmp_path, "a:b")
    (problem,) = find(tmp_path).problems
    assert "'a:b' cannot be a file name" in problem.what


def recording(function: Callable[..., Any], seen: list[str]) -> Callable[..., Any]:
    """Note the path of each call."""

    def call(path: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(os.fspath(path))
        return function(path, *args, **kwargs)

    return call


def test_unlabelled_cohorts_never_look_at_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the labels gone, the same is found; with them there, no call names one of them."""
    brats, decathlon, raw = tmp_path / "brats", tmp_path / "decathlon", tmp_path / "raw"
    labels = [make_case(brats / case, case)[-1] for case in ("A-1", "B-1")]
    labels.append(brats / "A-1" / "A-1-seg.nii")
    labels[-1].symlink_to(tmp_path / "nowhere")
    write_dataset(decathlon, "modality", DECATHLON)
    write_dataset(raw, "channel_names", DECATHLON)
    touch(decathlon / "imagesTr" / "BRATS_001.nii.gz")
    make_numbered(raw / "imagesTr", "x")
    labels += [decathlon / "labelsTr" / "BRATS_001.nii.gz", raw / "labelsTr" / "x.nii.gz"]
    touch(*labels[-2:])

    seen: list[str] = []
    for module, name in ((os, "stat"), (os, "lstat"), (os, "scandir"), (os, "open"), (os.path, "exists")):
        monkeypatch.setattr(module, name, recording(getattr(module, name), seen))
    before = find(tmp_path, labelled=False)
    monkeypatch.undo()
    assert seen
    assert not [path for path in seen if "seg" in Path(path).name or "labels" in path]
    assert before.problems == ()
    assert [(case.id, case.label) for case in before.cases] == [(i, None) for i in ("A-1", "B-1", "BRATS_001", "x")]
    for label in labels:
        label.unlink()
    for folder in (decathlon, raw):
        (folder / "labelsTr").rmdir()
    assert find(tmp_path, labelled=False) == before


def test_result_is_sorted_whatever_the_order_of_creation(tmp_path: Path) -> None:
    for number in (5, 1, 9, 3):
        make_case(tmp_path / f"{10 - number} folder", f"BraTS-GLI-{number:05d}-000", reversed(NEW))
    found = find(tmp_path)
    assert [case.id[10:15] for case in found.cases] == ["00001", "00003", "00005", "00009"]
    assert found == find(tmp_path)


def test_absent_folder(tmp_path: Path) -> None:
    with pytest.raises(PedsegError, match="no such folder; give the folder that holds the cases of cohort 'adult'"):
        find(tmp_path / "none")


@pytest.mark.parametrize("names", [[], ["scan.nii.gz", "other.nii"], ["A-1-seg.nii.gz"]])
def test_nothing_recognised(tmp_path: Path, names: list[str]) -> None:
    touch(*(tmp_path / name for name in names))
    with pytest.raises(PedsegError, match="nothing recognised") as refusal:
        find(tmp_path, labelled=False)
    text = str(refusal.value)
    assert "<case>-t1n" in text
    assert "<case>_t1ce" in text
    assert ("other.nii, scan.nii.gz" if "scan.nii.gz" in names else "no NIfTI file") in text


def find_lacking(folder: Path) -> Discovery:
    return find_cases(folder, cohort="adult", labelled=False, allow_missing=True)


def test_cases_may_lack_sequences_where_that_is_asked_for(tmp_path: Path) -> None:
    make_case(tmp_path / "A", "A-1", ("t1c", "t2f"))
    make_case(tmp_path / "B", "B-1")
    make_case(tmp_path / "C", "C-1", ["seg"])
    found = find_lacking(tmp_path)
    first, second = found.cases
    assert (first.missing, second.missing) == (("t1n", "t2w"), ())
    assert [image.path.name for image in first.images if not image.absent] == ["A-1-t1c.nii.gz", "A-1-t2f.nii.gz"]
    assert found.problems == ()
    assert [case.id for case in find(tmp_path, labelled=False).cases] == ["B-1"]


@pytest.mark.parametrize("numbered", [True, False])
def test_data_sets_of_fewer_channels(tmp_path: Path, *, numbered: bool) -> None:
    names = {"0": "FLAIR", "1": "T1w", "2": "t1gd"}
    write_dataset(tmp_path, "channel_names", names)
    if numbered:
        make_numbered(tmp_path / "imagesTr", "a", (0, 1, 2))
    else:
        touch(tmp_path / "imagesTr" / "a.nii.gz")
    case = only(find_lacking(tmp_path))
    assert case.missing == ("t2w",)
    with pytest.raises(PedsegError, match="each modality exactly once"):
        find(tmp_path)
    write_dataset(tmp_path, "channel_names", {**names, "3": "T1"})
    with pytest.raises(PedsegError, match="each modality exactly once"):
        find_lacking(tmp_path)


def test_a_cohort_of_other_sequences_is_refused_as_a_whole(tmp_path: Path) -> None:
    make_case(tmp_path / "A", "A-1", ("t1n", "t1c", "t2f", "seg"))
    make_case(tmp_path / "B", "B-1", ("t1c", "t2f", "seg"))
    found = find(tmp_path)
    assert found.lacking == ("t2w",)
    with pytest.raises(PedsegError, match=r"no case has t2w; found are t1n, t1c, t2f.* data\.drop_modality=.*--allow"):
        found.check_sequences(tmp_path, cohort="adult")
    make_case(tmp_path / "C", "C-1", NEW)
    find(tmp_path).check_sequences(tmp_path, cohort="adult")
