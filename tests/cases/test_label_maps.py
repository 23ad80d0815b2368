"""Of which case a label map is, and what the records beside label maps say."""

import os
import unicodedata
from pathlib import Path

import pytest

from pedseg.cases.label_maps import (
    POSTPROCESSED,
    PREDICTED,
    find_label_maps,
    known_convention,
    label_map_case,
    list_label_maps,
    recorded_convention,
)
from pedseg.errors import PedsegError
from pedseg.files import write_json
from pedseg.labels import CONVENTIONS, LabelConvention, get_convention


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("BraTS-PED-00001-000.nii.gz", "BraTS-PED-00001-000"),
        ("BraTS-PED-00001-000-seg.nii.gz", "BraTS-PED-00001-000"),
        ("BraTS2021_00001_seg.nii", "BraTS2021_00001"),
        ("BRATS-PED-00001-000-SEG.NII.GZ", "BRATS-PED-00001-000"),
        ("W39_1998.09.19_Segm.nii", "W39_1998.09.19"),
        (unicodedata.normalize("NFD", "Müller-01.nii.gz"), "Müller-01"),
        ("patient_t1.nii.gz", "patient_t1"),  # a modality at the end is a part of the name here
        ("UPENN-GBM-00001_11_automated_approx_segm.nii.gz", "UPENN-GBM-00001_11"),
        ("UCSF-PDGM-0004_tumor_segmentation.nii.gz", "UCSF-PDGM-0004"),
        ("sub-01_ses-pre_space-T1w_label-tumor_dseg.nii.gz", "sub-01_ses-pre"),
        ("seg.nii.gz", "seg"),
        ("a-seg (1).nii.gz", "a-seg (1)"),
        ("._a.nii.gz", None),
        ("predictions.json", None),
        ("a.npz", None),
        (".nii.gz", None),
    ],
)
def test_case_of_a_name(name: str, case: str | None) -> None:
    assert label_map_case(name) == case


def test_folders(tmp_path: Path) -> None:
    for name in ("b.nii", "a-seg.nii.gz", "predictions.json", "._a.nii.gz"):
        (tmp_path / name).touch()
    (tmp_path / "folder.nii").mkdir()
    assert list(find_label_maps(tmp_path).items()) == [("a", tmp_path / "a-seg.nii.gz"), ("b", tmp_path / "b.nii")]
    (tmp_path / "a.NII.GZ").touch()
    assert len(list_label_maps(tmp_path)["a"]) == 2
    with pytest.raises(PedsegError, match=r"a-seg\.nii\.gz and a\.NII\.GZ are both of one case"):
        find_label_maps(tmp_path)


def test_names_that_others_cannot_hold(tmp_path: Path) -> None:
    for name in ("A.nii.gz", "a-seg.nii.gz"):
        (tmp_path / name).touch()
    with pytest.raises(PedsegError, match="A and a differ in the case of letters only"):
        find_label_maps(tmp_path)
    assert len(list_label_maps(tmp_path)) == 2
    (tmp_path / os.fsdecode(b"B\xff.nii.gz")).touch()
    with pytest.raises(PedsegError, match=r"'B\\udcff' is not in UTF-8"):
        list_label_maps(tmp_path)


@pytest.mark.parametrize("convention", [*CONVENTIONS.values(), LabelConvention("custom", (7,), (5, 9), (2,))], ids=str)
def test_what_is_recorded_is_read_back(tmp_path: Path, convention: LabelConvention) -> None:
    for name in (PREDICTED, POSTPROCESSED):
        write_json(tmp_path / name, {"convention": str(convention)})
        assert recorded_convention(tmp_path) == (convention, tmp_path / PREDICTED)


def test_records_that_say_nothing(tmp_path: Path) -> None:
    assert recorded_convention(tmp_path) is None
    write_json(tmp_path / PREDICTED, {})
    write_json(tmp_path / POSTPROCESSED, {})
    assert recorded_convention(tmp_path) is None
    write_json(tmp_path / POSTPROCESSED, [])
    with pytest.raises(PedsegError, match=r"rules\.json: \[\] .*restore the record, or move it"):
        recorded_convention(tmp_path)


@pytest.mark.parametrize("text", ["nonsense", "brats2023 (ET 3)", "custom (ET 3, NC 3, ED 2)"])
def test_damaged_records(tmp_path: Path, text: str) -> None:
    write_json(tmp_path / PREDICTED, {"convention": text})
    with pytest.raises(PedsegError, match=r"predictions\.json: .*restore the record, or move it .*away"):
        recorded_convention(tmp_path)


def test_records_that_contradict_each_other(tmp_path: Path) -> None:
    write_json(tmp_path / PREDICTED, {"convention": "brats2023"})
    write_json(tmp_path / POSTPROCESSED, {"convention": "brats2021"})
    with pytest.raises(PedsegError, match="move the one of other label maps away"):
        recorded_convention(tmp_path)


def test_who_says_it(tmp_path: Path) -> None:
    known = known_convention(tmp_path, None, option="--convention")
    assert (known.convention.name, known.stated) == ("brats2023", False)
    assert known.explained({1, 2, 3}).endswith(
        "the default of --convention; brats_ped2024, msd_task01 would fit as well"
    )
    assert known_convention(tmp_path, "brats2021", option="--convention").convention is get_convention("brats2021")
    write_json(tmp_path / PREDICTED, {"convention": str(get_convention("brats2021"))})
    known = known_convention(tmp_path, None, option="--convention")
    assert (known.convention.name, known.stated) == ("brats2021", True)
    assert known.explained({1, 2}).endswith(f"which {tmp_path / PREDICTED} says")
    assert known_convention(tmp_path, "brats2021", option="--convention").stated
    with pytest.raises(PedsegError, match=r"predictions\.json: .* are in brats2021 .* and --convention says brats2023"):
        known_convention(tmp_path, "brats2023", option="--convention")
