"""Case and role of file names, modalities of channel names."""

import json
from pathlib import Path

import pytest

from pedseg.cases.channels import read_channels, read_ignored
from pedseg.cases.naming import official_name, read_name, split_numbered_name
from pedseg.errors import PedsegError


@pytest.mark.parametrize(
    ("stem", "case", "role"),
    [
        ("BraTS-GLI-00009-000-t1n", "BraTS-GLI-00009-000", "t1n"),
        ("BraTS-GLI-00009-000-t1c", "BraTS-GLI-00009-000", "t1c"),
        ("BraTS-GLI-00009-000-t2w", "BraTS-GLI-00009-000", "t2w"),
        ("BraTS-GLI-00009-000-t2f", "BraTS-GLI-00009-000", "t2f"),
        ("BraTS-GLI-00009-000-seg", "BraTS-GLI-00009-000", "label"),
        ("BraTS20_Training_001_t1", "BraTS20_Training_001", "t1n"),
        ("BraTS20_Training_001_t1ce", "BraTS20_Training_001", "t1c"),
        ("BraTS20_Training_001_t2", "BraTS20_Training_001", "t2w"),
        ("BraTS20_Training_001_flair", "BraTS20_Training_001", "t2f"),
        ("UPENN-GBM-00001_11_T1GD", "UPENN-GBM-00001_11", "t1c"),
        ("UPENN-GBM-00001_11_segm", "UPENN-GBM-00001_11", "label"),
        ("UCSF-PDGM-0004_tumor_segmentation", "UCSF-PDGM-0004", "label"),
        ("case 7_T2_FLAIR", "case 7", "t2f"),
        ("case_t1-Gd", "case", "t1c"),
        ("case_0000_T1CE", "case_0000", "t1c"),
    ],
)
def test_names(stem: str, case: str, role: str) -> None:
    said = read_name(stem)
    assert said is not None
    assert (said.case, said.role, said.copy) == (case, role, False)


@pytest.mark.parametrize("stem", ["case", "_t1", "case_dwi", "case_t1_bias", "case_0000", "case.t1", "caset1", ""])
def test_other_names_say_nothing(stem: str) -> None:
    assert read_name(stem) is None


def test_split_numbered_name() -> None:
    assert split_numbered_name("BraTS-GLI-00009-000_0003") == ("BraTS-GLI-00009-000", 3)
    assert split_numbered_name("BraTS2021_00001") is None
    assert split_numbered_name("BRATS_001") is None


def test_official_name_follows_the_naming_of_the_case() -> None:
    assert official_name("A-1", "t1c", sibling="A-1-t2w.nii.gz") == "A-1-t1c.nii.gz"
    assert official_name("A_1", "t1c", sibling="A_1_flair.nii") == "A_1_t1ce.nii.gz"
    assert official_name("A_1", "label", sibling="A_1_flair.nii") == "A_1_seg.nii.gz"


def dataset(folder: Path, **content: object) -> Path:
    path = folder / "dataset.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("key", "names", "expected"),
    [
        ("modality", ["FLAIR", "T1w", "t1gd", "T2w"], [1, 2, 3, 0]),
        ("channel_names", ["T1", "T1ce", "T2", "Flair"], [0, 1, 2, 3]),
        ("channel_names", ["t2f", "t2w", "t1c", "t1n"], [3, 2, 1, 0]),
        ("channel_names", ["ADC", "T1", "T1-weighted, post contrast", "T2-FLAIR", "T2"], [1, 2, 4, 3]),
        ("channel_names", ["MRI FLAIR", "MR_T1", "T1 contrast-enhanced", "MRI T2"], [1, 2, 3, 0]),
    ],
)
def test_channels_are_told_by_name(tmp_path: Path, key: str, names: list[str], expected: list[int]) -> None:
    path = dataset(tmp_path, **{key: {str(index): name for index, name in enumerate(names)}})
    assert list(read_channels(path).values()) == expected
    assert list(read_channels(path)) == ["t1n", "t1c", "t2w", "t2f"]


def test_names_may_stand_before_their_numbers(tmp_path: Path) -> None:
    path = dataset(tmp_path, channel_names={"FLAIR": 0, "T1w": 1, "t1gd": 2, "T2w": 3})
    assert list(read_channels(path).values()) == [1, 2, 3, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"channel_names": {"0": "MRI", "1": "T1ce", "2": "T2", "3": "FLAIR"}},
            "0: 'MRI'.*t1n t1n, t1, t1pre.*t1c t1c, t1ce, t1gd",
        ),
        ({"channel_names": {"0": "T1", "1": "T1ce", "2": "T1gd", "3": "T2", "4": "FLAIR"}}, "exactly once"),
        ({"channel_names": {"0": "noNorm"}}, "exactly once"),
        ({"channel_names": {"a": "T1", "b": "T1ce", "c": "T2", "d": "FLAIR"}}, "not numbered from 0"),
        ({"channel_names": {"1": "T1", "2": "T1ce", "3": "T2", "4": "FLAIR"}}, "not numbered from 0"),
        ({"labels": {}}, "no channel_names"),
    ],
)
def test_unclear_channels_are_refused(tmp_path: Path, content: dict[str, object], message: str) -> None:
    with pytest.raises(PedsegError, match=message) as refusal:
        read_channels(dataset(tmp_path, **content))
    assert "dataset.json" in str(refusal.value)


@pytest.mark.parametrize(
    ("labels", "ignored"),
    [
        ({"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": 3, "ignore": 4}, {4}),
        ({"background": 0, "edema": 1}, set()),
        ({"0": "background", "1": "edema"}, set()),
        (None, set()),
    ],
)
def test_ignored_label_of_a_dataset(tmp_path: Path, labels: object, ignored: set[int]) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"labels": labels}))
    assert read_ignored(path) == ignored


@pytest.mark.parametrize("label", ["4", [4], True, 0, -1])
def test_no_label_to_ignore(tmp_path: Path, label: object) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"labels": {"ignore": label}}))
    with pytest.raises(PedsegError, match="no whole number above 0"):
        read_ignored(path)
