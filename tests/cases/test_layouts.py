"""Collections as they are published, and what people's folders hold besides; the files are empty."""

import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from pedseg.cases import Discovery, find_cases
from pedseg.errors import PedsegError, Severity
from tests.cases.layouts import LAYOUTS, ROLES, plant, touch

NEW = ("t1n", "t1c", "t2w", "t2f", "seg")


def find(root: Path, *, labelled: bool = True) -> Discovery:
    return find_cases(root, cohort="x", labelled=labelled)


def make(root: Path, case: str, *, folder: str | None = None, ending: str = ".nii.gz") -> None:
    """A case in the naming of BraTS 2023."""
    touch(root, *(f"{case if folder is None else folder}/{case}-{role}{ending}" for role in NEW))


@pytest.mark.parametrize("name", LAYOUTS)
def test_published_layouts(tmp_path: Path, name: str) -> None:
    layout = LAYOUTS[name]
    plant(tmp_path, layout)
    for labelled in (True, False):
        found = find(tmp_path, labelled=labelled)
        assert found.problems == ()
        assert {case.id for case in found.cases} == set(layout.cases)
        assert len({case.patient for case in found.cases}) == layout.patients
        for case in found.cases:
            files = layout.cases[case.id]
            assert [image.path for image in case.images] == [tmp_path / files[role] for role in ROLES[:-1]]
            assert case.label == (tmp_path / files["label"] if labelled else None)


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_without_their_labels(tmp_path: Path, name: str) -> None:
    """An unlabelled cohort is the same with its label files gone."""
    plant(tmp_path, LAYOUTS[name])
    before = find(tmp_path, labelled=False)
    for files in LAYOUTS[name].cases.values():
        (tmp_path / files["label"]).unlink()
    assert find(tmp_path, labelled=False).cases == before.cases


def test_segmentations_that_are_no_label_are_said(tmp_path: Path) -> None:
    plant(tmp_path, LAYOUTS["UCSF-PDGM"])
    said = [remark for remark in find(tmp_path).remarks if "are taken for no labels of the tumour" in remark.what]
    assert [(remark.case, remark.severity) for remark in said] == [("3 files", Severity.NOTE)] * 2
    label = LAYOUTS["UCSF-PDGM"].cases["UCSF-PDGM-0004"]["label"]
    (tmp_path / label).rename(tmp_path / label.replace("tumor_seg", "peritumoral_seg"))
    found = find(tmp_path)
    assert [(problem.case, problem.what) for problem in found.problems] == [("UCSF-PDGM-0004", "no label")]
    assert any("'peritumoral'" in remark.what and remark.severity is Severity.WARNING for remark in found.remarks)


def test_automated_segmentations_are_said_and_come_after_corrected_ones(tmp_path: Path) -> None:
    plant(tmp_path, LAYOUTS["UPENN-GBM"])
    alone, both = [remark for remark in find(tmp_path).remarks if "automated" in remark.what]
    assert (alone.case, alone.severity) == ("1 case", Severity.WARNING)
    assert alone.file == "UPENN-GBM-00002_11_automated_approx_segm.nii.gz"
    assert (both.file, both.severity) == ("UPENN-GBM-00001_11_automated_approx_segm.nii.gz", Severity.NOTE)


def test_labels_without_images_are_told_by_their_words(tmp_path: Path) -> None:
    names = ("A-1_tumor_segmentation", "A-1_brain_segmentation", "A-1_brain_parenchyma_segmentation", "B-1_auto_seg")
    touch(tmp_path, *(f"{name[:3]}/{name}.nii.gz" for name in names))
    found = find(tmp_path)
    assert {case: path.name for case, path in found.lone_labels.items()} == {
        "A-1": "A-1_tumor_segmentation.nii.gz",
        "B-1": "B-1_auto_seg.nii.gz",
    }


def test_labels_called_as_their_case_in_a_folder_of_labels(tmp_path: Path) -> None:
    touch(tmp_path, *(f"images/A-1_{role}.nii.gz" for role in ("t1", "t1ce", "t2", "flair")), "labels/A-1.nii.gz")
    (case,) = find(tmp_path).cases
    assert case.label == tmp_path / "labels" / "A-1.nii.gz"
    touch(tmp_path, "labels/A-1_seg.nii.gz")
    assert [problem.what for problem in find(tmp_path).problems] == ["2 files for label"]


def test_files_of_no_kind_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "volume_1_slice_0.h5")
    with pytest.raises(PedsegError, match=r"seen: no NIfTI file, volume_1_slice_0\.h5"):
        find(tmp_path)


def test_pipelines_that_call_themselves_automated(tmp_path: Path) -> None:
    plant(tmp_path, LAYOUTS["BIDS without sessions"])
    touch(tmp_path, "derivatives/automated-masks/sub-A1/anat/sub-A1_dseg.nii.gz")
    (said,) = find(tmp_path).remarks
    assert (said.file, said.severity) == ("sub-A1_dseg.nii.gz", Severity.NOTE)
    touch(tmp_path, "derivatives/others/sub-A1/anat/sub-A1_dseg.nii.gz")
    (problem,) = find(tmp_path).problems
    assert problem.file == "derivatives/masks/sub-A1/anat, derivatives/others/sub-A1/anat"


def test_a_label_of_another_name_is_taken_only_in_the_folder_of_its_case(tmp_path: Path) -> None:
    plant(tmp_path, LAYOUTS["Kaggle"])
    (said,) = [remark for remark in find(tmp_path).remarks if "the only one in the folder" in remark.what]
    assert (said.case, said.severity) == ("BraTS20_Training_355", Severity.WARNING)
    flat = tmp_path / "flat"
    touch(flat, *(f"A-1-{role}.nii.gz" for role in NEW[:-1]), "B-1-seg.nii.gz")
    assert [(problem.case, problem.what) for problem in find(flat).problems] == [
        ("A-1", "no label"),
        ("B-1", "a label without images"),
    ]


def test_a_folder_in_place_of_a_file_that_holds_several(tmp_path: Path) -> None:
    make(tmp_path, "A-1")
    (tmp_path / "A-1" / "A-1-t2f.nii.gz").unlink()
    touch(tmp_path, "A-1/A-1-t2f.nii/one.nii", "A-1/A-1-t2f.nii/two.nii")
    (problem,) = find(tmp_path).problems
    assert (problem.case, problem.file) == ("A-1", "A-1/A-1-t2f.nii")
    assert problem.what == "a folder that holds 2 NIfTI files in place of one"


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["sub-1_run-1_FLAIR", "sub-1_run-2_FLAIR"], "2 files for t2f"),
        (["sub-1_FLAIR", "sub-1_acq-post_T1w", "sub-1_ce-gadolinium_T1w"], "2 files for t1c"),
    ],
)
def test_bids_with_two_files_for_a_modality(tmp_path: Path, names: list[str], what: str) -> None:
    every = {"sub-1_T1w", "sub-1_ce-gadolinium_T1w", "sub-1_T2w", *names}
    touch(tmp_path, *(f"sub-1/anat/{name}.nii.gz" for name in every))
    (problem,) = find(tmp_path, labelled=False).problems
    assert problem.what == what
    assert names[-1] in problem.file
    assert names[-2] in problem.file


def test_derivatives_alone_are_a_cohort(tmp_path: Path) -> None:
    names = ("T1w", "ce-gadolinium_T1w", "T2w", "FLAIR")
    touch(tmp_path, *(f"derivatives/stripped/sub-1/anat/sub-1_desc-brain_{name}.nii.gz" for name in names))
    assert [case.id for case in find(tmp_path, labelled=False).cases] == ["sub-1"]
    assert find(tmp_path / "derivatives", labelled=False).cases == find(tmp_path, labelled=False).cases


@pytest.mark.parametrize(
    "copy",
    [
        *("A-1-t1c (1).nii.gz", "A-1-t1c(2).nii.gz", "A-1-t1c - Copy.nii.gz", "A-1-t1c - Kopie (2).nii.gz"),
        *("A-1-t1c copy.nii.gz", "A-1-t1c 2.nii.gz", "Copy of A-1-t1c.nii.gz", "A-1-t1c.nii (1).gz"),
        "A-1-t1c (Bo's conflicted copy 2024-01-01).nii.gz",
    ],
)
def test_second_copies_are_said_and_never_taken_for_the_first(tmp_path: Path, copy: str) -> None:
    make(tmp_path, "A-1")
    touch(tmp_path, f"A-1/{copy}")
    found = find(tmp_path)
    assert found.cases[0].images[1].path.name == "A-1-t1c.nii.gz"
    assert [(remark.file, remark.severity) for remark in found.remarks] == [(f"A-1/{copy}", Severity.WARNING)]
    (tmp_path / "A-1" / "A-1-t1c.nii.gz").unlink()
    (problem,) = find(tmp_path).problems
    assert (problem.file, problem.what) == (f"A-1/{copy}", "no t1c image")
    assert "second copy" in problem.fix


def test_second_copies_of_all_of_a_case(tmp_path: Path) -> None:
    make(tmp_path, "A-1")
    touch(tmp_path, *(f"B-1/B-1-{role} (1).nii.gz" for role in NEW))
    assert {problem.case for problem in find(tmp_path).problems} == {"B-1"}
    make(tmp_path, "A-1", folder="A-1 (1)")
    assert any(problem.file == "A-1, A-1 (1)" for problem in find(tmp_path).problems)


@pytest.mark.parametrize(
    ("ending", "kind", "tool"),
    [
        (".nrrd", "NRRD", "c3d A-1-t1c.nrrd -o A-1-t1c.nii.gz"),
        (".mha", "MetaImage", "c3d A-1-t1c.mha"),
        (".mhd", "MetaImage", "c3d"),
        (".hdr", "a pair of .hdr and .img", "nib-convert A-1-t1c.hdr A-1-t1c.nii.gz"),
        (".mgz", "FreeSurfer's MGH", "nib-convert"),
        (".dcm", "DICOM", "dcm2niix"),
        (".nii.zip", "a packed NIfTI file", "unzip A-1-t1c.nii.zip"),
        (".nii.gz.partial", "a download that was cut off", "fetch it again"),
    ],
)
def test_other_formats_are_seen(tmp_path: Path, ending: str, kind: str, tool: str) -> None:
    make(tmp_path, "A-1", ending=ending)
    with pytest.raises(PedsegError, match="nothing recognised") as refusal:
        find(tmp_path)
    assert f"is {kind}, and NIfTI is read" in str(refusal.value)
    make(tmp_path, "B-1")
    (problem,) = find(tmp_path).problems
    assert (problem.case, problem.what) == ("A-1", f"is {kind}, and NIfTI is read")
    touch(tmp_path, *(f"A-1/A-1-{role}.nii.gz" for role in NEW if role != "t1c"))
    (problem,) = find(tmp_path).problems
    assert (problem.file, problem.what) == (f"A-1/A-1-t1c{ending}", "no t1c image")
    assert tool in problem.fix
    touch(tmp_path, "A-1/A-1-t1c.nii.gz")
    assert len(find(tmp_path).cases) == 2


def test_dicom_without_endings(tmp_path: Path) -> None:
    make(tmp_path, "A-1")
    touch(tmp_path, "A-1/README", "A-1/dicom/x/1.dcm")
    for number in range(3):
        file = tmp_path / "B-1" / f"series {number % 2}" / f"IM-{number:04d}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(128) + b"DICM")
    (problem,) = [problem for problem in find(tmp_path).problems if problem.case == "B-1"]
    assert problem.file == "B-1/series 0/IM-0000 and 2 more"
    assert "dcm2niix" in problem.fix


@pytest.mark.parametrize("name", ["all.zip", "B-1.tar.gz", "B-1.tgz", "B-1.7z"])
def test_archives(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name)
    with pytest.raises(PedsegError, match="is an archive; unpack it"):
        find(tmp_path / name)
    with pytest.raises(PedsegError, match="an archive: "):
        find(tmp_path)
    make(tmp_path, "A-1")
    (said,) = find(tmp_path).remarks
    assert (said.file, said.severity) == (name, Severity.WARNING)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(("make_it", "kind"), [(fifo, "a pipe"), (device, "a device")])
def test_what_is_neither_file_nor_folder(tmp_path: Path, make_it: Callable[[Path], None], kind: str) -> None:
    make_it(tmp_path / "C-1")
    with pytest.raises(PedsegError, match=f"seen: C-1, {kind}"):
        find(tmp_path)
    make(tmp_path, "A-1")
    make(tmp_path, "B-1")
    image = tmp_path / "B-1" / "B-1-t1c.nii.gz"
    image.unlink()
    make_it(image)
    found = find(tmp_path)
    assert [(p.case, p.file, p.what) for p in found.problems] == [
        ("B-1", "B-1/B-1-t1c.nii.gz", kind),
        ("C-1", "C-1", kind),
    ]
    with pytest.raises(PedsegError, match=f"is {kind}; give the folder"):
        find(tmp_path / "C-1")


def test_a_file_in_place_of_the_folder_of_a_case(tmp_path: Path) -> None:
    make(tmp_path, "A-01")
    touch(tmp_path, "A-02", "README", "CHANGES")
    (problem,) = find(tmp_path).problems
    assert (problem.case, problem.what) == ("A-02", "a file in place of a folder")


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    make(tmp_path, "A-1")
    with pytest.raises(PedsegError, match="is one image; give the folder"):
        find(tmp_path / "A-1" / "A-1-t1n.nii.gz")
    touch(tmp_path, "x.nrrd", "x.txt")
    with pytest.raises(PedsegError, match="is NRRD"):
        find(tmp_path / "x.nrrd")
    with pytest.raises(PedsegError, match="is no folder"):
        find(tmp_path / "x.txt")


def test_data_sets_without_labels(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"}}')
    touch(tmp_path, *(f"imagesTr/x_000{channel}.nii.gz" for channel in range(4)))
    with pytest.raises(PedsegError, match=r"no case has a label.* data\.cohorts\.x\.labelled=false"):
        find(tmp_path).check_sequences(tmp_path, cohort="x")
    assert len(find(tmp_path, labelled=False).cases) == 1


def test_names_are_compared_in_one_unicode_form(tmp_path: Path) -> None:
    composed, parted = (unicodedata.normalize(form, "Müller-01") for form in ("NFC", "NFD"))
    touch(tmp_path, *(f"{composed}/{composed}-{role}.nii.gz" for role in NEW[:-1]))
    touch(tmp_path, f"labels/{parted}-seg.nii.gz")
    (case,) = find(tmp_path).cases
    assert case.id == composed
    assert case.label == tmp_path / "labels" / f"{parted}-seg.nii.gz"
    touch(tmp_path, *(f"{parted}/{parted}-{role}.nii.gz" for role in NEW[:-1]))
    (problem,) = find(tmp_path).problems
    assert problem.what == "the case is in 2 folders"
    assert r"M\xfcller" in problem.file
    assert r"Mu\u0308ller" in problem.file


def test_names_that_are_not_in_utf_8(tmp_path: Path) -> None:
    make(tmp_path, "A-1")
    make(tmp_path, os.fsdecode(b"B\xff-1"))
    (problem,) = find(tmp_path).problems
    assert problem.what.startswith(r"'B\udcff-1' is not in UTF-8")


def test_ids_that_differ_in_the_case_of_letters_only(tmp_path: Path) -> None:
    for case in ("A-1", "a-1", "B-1"):
        make(tmp_path, case)
    found = find(tmp_path)
    assert [case.id for case in found.cases] == ["B-1"]
    assert [problem.case for problem in found.problems] == ["A-1", "a-1"]
    assert all("'A-1' and 'a-1'" in problem.what for problem in found.problems)


def test_one_id_in_two_layouts(tmp_path: Path) -> None:
    make(tmp_path, "A-1")
    touch(tmp_path, *(f"more/A-1/{name}.nii.gz" for name in ("T1", "T1CE", "T2", "FLAIR", "seg")))
    (problem,) = find(tmp_path).problems
    assert (problem.what, problem.file) == ("the case is in 2 folders", "A-1, more/A-1")


def test_empty_folders_are_said(tmp_path: Path) -> None:
    make(tmp_path, "A-1")
    for name in ("B-1", "C-1"):
        (tmp_path / name).mkdir()
    (said,) = find(tmp_path).remarks
    assert (said.file, said.what, said.severity) == ("B-1 and 1 more", "is empty", Severity.WARNING)


def test_folders_of_unknown_names_are_said(tmp_path: Path) -> None:
    make(tmp_path, "A-1")
    touch(tmp_path, "A-1/A-1-dwi.nii.gz", "B-1/mprage.nii.gz", "B-1/gad.nii.gz")
    (said,) = find(tmp_path).remarks
    assert (said.case, said.file, said.severity) == ("B-1", "B-1/gad.nii.gz and 1 more", Severity.WARNING)


def page() -> dict[str, list[str]]:
    """The trees of docs/layouts.md by the heading above each."""
    text = (Path(__file__).parents[2] / "docs" / "layouts.md").read_text()
    found = re.findall(r"^### (.+)\n(?:(?!^###)(?!^```).*\n)*^```text\n((?:.+\n)+?)```$", text, re.MULTILINE)
    return {heading: tree.splitlines() for heading, tree in found}


def test_the_page_has_a_tree_of_each_layout() -> None:
    assert len(page()) == 8


@pytest.mark.parametrize("heading", page())
def test_the_trees_of_the_page_are_understood(tmp_path: Path, heading: str) -> None:
    touch(tmp_path, *page()[heading])
    for file in tmp_path.rglob("dataset.json"):
        key = "modality" if "Decathlon" in heading else "channel_names"
        file.write_text(f'{{"{key}": {{"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"}}}}')
    found = find(tmp_path)
    assert found.problems == ()
    assert len(found.cases) >= 1
