"""Voxel labels ⇄ regions for every convention, and the detector that refuses what is ambiguous."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pedseg.errors import PedsegError
from pedseg.labels import (
    CONVENTIONS,
    CaseEvidence,
    LabelConvention,
    LabelEvidence,
    Region,
    check_convention,
    detect_convention,
    fitting_conventions,
    gather_evidence,
    get_convention,
    labels_from_regions,
    masks_from_labels,
    measure_labels,
    read_convention,
    regions_from_labels,
)

CUSTOM = LabelConvention("custom", et=(7,), nc=(5, 9), ed=(2,))


def evidence(*value_sets: set[int], **enhancement: float) -> LabelEvidence:
    """Build evidence from the label sets of single cases and means given as ``label_4=1.6``."""
    means = {int(name.removeprefix("label_")): mean for name, mean in enhancement.items()}
    return gather_evidence(
        "adult", [CaseEvidence(dict.fromkeys(s, 100), {v: means[v] for v in s if v in means}) for s in value_sets]
    )


@pytest.mark.parametrize("convention", [*CONVENTIONS.values(), CUSTOM], ids=str)
def test_labels_to_regions_and_back_keep_every_tissue(convention: LabelConvention) -> None:
    written = [0, convention.ed[0], convention.nc[0], convention.et[0]]
    label = np.random.default_rng(0).choice(written, size=(3, 4, 5)).astype(np.uint8)
    regions = regions_from_labels(label, convention)
    assert regions.shape == (3, 3, 4, 5)
    assert regions.dtype == bool
    np.testing.assert_array_equal(labels_from_regions(regions, convention), label)


@pytest.mark.parametrize(
    ("name", "wt", "tc", "et"),
    [
        ("brats2021", {1, 2, 4}, {1, 4}, {4}),
        ("brats2023", {1, 2, 3}, {1, 3}, {3}),
        ("brats_ped2024", {1, 2, 3, 4}, {1, 2, 3}, {1}),
        ("msd_task01", {1, 2, 3}, {2, 3}, {3}),
        ("brats_gli2024", {1, 2, 3}, {1, 3}, {3}),
    ],
)
def test_regions_hold_the_labels_of_the_data_descriptions(name: str, wt: set[int], tc: set[int], et: set[int]) -> None:
    label = np.arange(5, dtype=np.uint8).reshape(1, 1, 5)
    regions = regions_from_labels(label, get_convention(name))
    for mask, expected in zip(regions, (wt, tc, et), strict=True):
        assert set(label[mask].tolist()) == expected


def test_each_convention_can_be_read_as_another() -> None:
    label = np.array([[[0, 1, 2, 4]]], dtype=np.uint8)
    regions = regions_from_labels(label, CONVENTIONS["brats2021"])
    assert labels_from_regions(regions, CONVENTIONS["brats_ped2024"]).tolist() == [[[0, 2, 4, 1]]]
    assert labels_from_regions(regions, CONVENTIONS["msd_task01"]).tolist() == [[[0, 2, 1, 3]]]


def test_inconsistent_regions_are_written_innermost_last() -> None:
    regions = np.zeros((3, 1, 1, 3), dtype=bool)
    regions[list(Region).index(Region.ET), ..., 0] = True  # enhancing tumour outside the whole tumour
    regions[list(Region).index(Region.TC), ..., :2] = True
    assert labels_from_regions(regions, CONVENTIONS["brats2023"]).tolist() == [[[3, 1, 0]]]


def test_custom_convention_from_settings() -> None:
    convention = get_convention({"et": 7, "nc": [5, 9], "ed": 2})
    assert convention == CUSTOM
    assert convention.values == {0, 2, 5, 7, 9}


def test_labels_of_no_tissue() -> None:
    convention = get_convention({"et": 3, "nc": 1, "ed": 2, "background": [4, 5]})
    assert str(convention) == "custom (ET 3, NC 1, ED 2, background 4+5)"
    assert convention.values == set(range(6))
    label = np.arange(6, dtype=np.uint8).reshape(1, 1, 6)
    regions = regions_from_labels(label, convention)
    assert [set(label[mask].tolist()) for mask in regions] == [{1, 2, 3}, {1, 3}, {3}]
    assert labels_from_regions(regions, convention).tolist() == [[[0, 1, 2, 3, 0, 0]]]
    assert convention.exchanged(4, 2).background == (2, 5)
    assert not convention.agrees(CONVENTIONS["brats2023"])


@pytest.mark.parametrize(
    "convention",
    [
        *CONVENTIONS.values(),
        CUSTOM,
        get_convention({"et": 1, "nc": 2, "ed": [3, 9], "background": [4, 5], "ignore": [7, 200]}),
    ],
    ids=str,
)
def test_what_is_written_is_read_back(convention: LabelConvention) -> None:
    assert read_convention(str(convention)) == convention
    assert read_convention(str(convention)).agrees(convention)
    assert read_convention(convention.option.strip("'")) == convention


def test_ignored_labels_follow_the_regions() -> None:
    convention = get_convention({"et": 3, "nc": 1, "ed": 2, "ignore": [4, 5]})
    assert str(convention) == "custom (ET 3, NC 1, ED 2, ignore 4+5)"
    assert convention.values == set(range(6))
    assert not convention.agrees(get_convention({"et": 3, "nc": 1, "ed": 2, "background": [4, 5]}))
    label = np.arange(6, dtype=np.uint8).reshape(1, 1, 6)
    masks = masks_from_labels(label, convention)
    assert [set(label[mask].tolist()) for mask in masks] == [{1, 2, 3}, {1, 3}, {3}, {4, 5}]
    assert masks_from_labels(label[..., :4], convention).shape == (3, 1, 1, 4)  # nothing is ignored there
    assert np.array_equal(regions_from_labels(label, convention), masks[:3])
    assert labels_from_regions(masks[:3], convention).tolist() == [[[0, 1, 2, 3, 0, 0]]]


def test_conventions_as_they_are_given_on_a_command_line() -> None:
    for text in ("{et: 3, nc: [1, 6], ed: 2, ignore: 4}", "{ et:3,nc:[1,6] , ed: 2, ignore: [4] }"):
        assert read_convention(text) == get_convention({"et": 3, "nc": [1, 6], "ed": 2, "ignore": 4})
    for text, message in (
        ("{et: 3, nc: 1}", "lacks ed"),
        ("{et: 3, nc: 1, ed: 2, rc: 4}", "'rc' is unknown"),
        ("{et: 3, nc: one, ed: 2}", "cannot be read"),
        ("{et: 3, nc: -1, ed: 2}", "cannot be read"),
        ("{}", "lacks"),
    ):
        with pytest.raises(PedsegError, match=message):
            read_convention(text)


def test_conventions_that_fit() -> None:
    names = [{c.name for c in fitting_conventions(values)} for values in ({1, 2, 3}, {1, 2, 3, 4}, {1, 4}, {9})]
    assert names[0] == {"brats2023", "brats_ped2024", "msd_task01"}  # brats_gli2024 reads them as brats2023 does
    assert names[1] == {"brats_ped2024", "brats_gli2024"}
    assert names[2] == {"brats2021", "brats_ped2024", "brats_gli2024"}
    assert not names[3]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("brats2020", "brats2021, brats2023"),
        ("BraTS2023", "did you mean brats2023"),
        ("brats_peds2024", "did you mean brats_ped2024"),
        (
            {"et": 3, "nc": 1, "ed": 2, "rc": 4},
            "'rc' is unknown; give labels of et, nc, ed, of what is no tumour as background, and of what shall not",
        ),
        ({"et": 3, "nc": 1, "ed": 2, "backgrund": 4}, "did you mean background"),
        ({"et": 3, "nc": 1, "ed": 2, "background": 2}, "of its own"),
        ({"et": 3, "nc": 1, "ed": 2, "ignore": 2}, "of its own"),
        ({"et": 3, "nc": 1, "ed": 2, "ignore": 0}, "background"),
        ({"et": 3, "nc": 1, "ed": 2, "ignored": 4}, "did you mean ignore"),
        ({"et": 1, "nc": 2}, "lacks ed"),
        ({"et": 1, "nc": 1, "ed": 2}, "of its own"),
        ({"et": 1, "nc": 0, "ed": 2}, "background"),
        ({"et": 256, "nc": 1, "ed": 2}, "1 to 255"),
        ({"et": 1, "nc": [], "ed": 2}, "at least one"),
    ],
)
def test_unusable_conventions_are_refused(setting: str | dict[str, int], message: str) -> None:
    with pytest.raises(PedsegError, match=message):
        get_convention(setting)


def test_measure_labels_by_hand() -> None:
    label = np.array([[[0, 1, 1, 4]]])
    enhancement = np.array([[[9.0, 1.0, -2.0, 3.0]]], dtype=np.float32)
    assert measure_labels(label, enhancement) == CaseEvidence({1: 2, 4: 1}, {1: -0.5, 4: 3.0})


def test_gather_evidence_counts_sets_and_averages_over_cases() -> None:
    gathered = gather_evidence(
        "ped",
        [
            CaseEvidence({1: 10, 3: 2}, {1: 0.0, 3: 1.0}),
            CaseEvidence({1: 1000}, {1: 1.0}),
            CaseEvidence({1: 30}, {1: 2.0}),
            CaseEvidence({}, {}),
        ],
    )
    assert gathered.value_sets == {frozenset({1}): 2, frozenset({1, 3}): 1, frozenset(): 1}
    assert gathered.voxels == {1: 1040, 3: 2}
    assert gathered.enhancement == {1: 1.0, 3: 1.0}
    assert gathered.values == {1, 3}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (evidence({1, 2, 4}, {1, 2}, label_1=-0.3, label_2=-0.4, label_4=1.6), "brats2021"),
        (evidence({1, 2, 4}, {2, 4}, label_1=0.6, label_2=-0.1, label_4=-0.4), "brats_ped2024"),
        (evidence({1, 2, 3, 4}, {1, 2}), "brats_ped2024"),  # 3 and 4 together need no other evidence
        (evidence({1, 2, 3}, {2, 3}, label_1=0.9, label_2=0.0, label_3=-0.3), "brats_ped2024"),  # no oedema anywhere
        (evidence({1, 2, 3, 4}, label_1=-0.3, label_2=-0.4, label_3=1.6, label_4=-0.8), "brats_gli2024"),
        (
            evidence({1, 2, 3, 4}, label_1=0.2, label_2=0.5, label_3=0.3, label_4=0.4),
            "brats_ped2024",
        ),  # weak in children
    ],
)
def test_detector_decides_where_the_evidence_is_clear(found: LabelEvidence, expected: str) -> None:
    assert detect_convention(found).name == expected


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (evidence({1, 2, 3}, label_1=-0.3, label_2=-0.4, label_3=1.6), ("brats2023", "msd_task01")),  # 1 ⇄ 2 only
        (evidence({1, 2, 4}), ("brats2021", "brats_ped2024")),  # no enhancement measured
        (evidence({1, 2, 4}, label_1=0.3, label_2=0.0, label_4=0.6), ("brats2021", "brats_ped2024")),  # too close
        (evidence({1, 2}, label_1=1.6, label_2=0.0), ("brats2021", "brats_ped2024")),  # enhancing tumour may be absent
        (
            evidence({1, 2, 3, 4}, label_1=0.4, label_2=0.0, label_3=0.6, label_4=0.0),
            ("brats_ped2024", "brats_gli2024"),
        ),
        (evidence(set(), set()), ("2 cases", "labels none in 2")),
        (evidence({1, 2, 5}), ("label 5: 100 voxels in 1 cases", "none of brats2021", "{et: 3")),
    ],
)
def test_detector_refuses_with_the_evidence(found: LabelEvidence, named: tuple[str, ...]) -> None:
    with pytest.raises(PedsegError, match="cannot be told") as refusal:
        detect_convention(found)
    for part in (*named, "cohort 'adult'", "set the cohort's convention"):
        assert part in str(refusal.value)


def test_refusal_shows_counts_and_fix() -> None:
    found = evidence({1, 2, 3}, {1, 2, 3}, {1, 3}, label_1=-0.3, label_2=-0.4, label_3=1.6)
    with pytest.raises(PedsegError) as refusal:
        detect_convention(found)
    text = str(refusal.value)
    assert "3 cases; labels 1+2+3 in 2; labels 1+3 in 1" in text
    assert "label 2: 200 voxels in 2 cases, enhancement -0.40" in text
    assert "brats_ped2024" not in text  # contradicted by the enhancement of label 3
    assert text.endswith("data.cohorts.adult.convention=brats2023")


@pytest.mark.parametrize(
    ("found", "convention"),
    [
        (evidence({1, 2, 4}, label_1=-0.3, label_2=-0.4, label_4=1.6), "brats2021"),
        (evidence({1, 2, 3}, {1, 2}, label_1=-0.3, label_2=-0.4, label_3=1.6), "brats2023"),
        (evidence({1, 2, 3}, label_1=-0.3, label_2=-0.4, label_3=1.6), "msd_task01"),
        (
            evidence({1, 2, 3, 4}, label_1=0.2, label_2=0.5, label_3=0.3, label_4=0.4),
            "brats_ped2024",
        ),  # weak in children
        (evidence({1, 2}), "brats2023"),
        (evidence(set()), "brats2023"),
    ],
)
def test_check_accepts_what_the_labels_allow(found: LabelEvidence, convention: str) -> None:
    check_convention(found, CONVENTIONS[convention])


@pytest.mark.parametrize(
    ("found", "convention", "message"),
    [
        (evidence({1, 2, 3}), "brats2021", "label 3 occurs, which the convention brats2021"),
        (evidence({1, 2}, {4}), "brats2023", "label 4 occurs, which the convention brats2023"),
        (evidence({1, 2, 4}, label_1=-0.3, label_2=-0.4, label_4=1.6), "brats_ped2024", "contradicted"),
        (evidence({1, 2, 3}, label_1=1.4, label_2=-0.4, label_3=0.0), "brats2023", "contradicted"),
    ],
)
def test_check_refuses_a_wrong_setting(found: LabelEvidence, convention: str, message: str) -> None:
    with pytest.raises(PedsegError, match=message) as refusal:
        check_convention(found, CONVENTIONS[convention])
    assert "set the cohort's convention" in str(refusal.value)


def test_ignored_labels_say_nothing_of_the_convention() -> None:
    found = evidence({1, 2, 3, 4}, label_1=-0.3, label_2=-0.4, label_3=0.5, label_4=1.9)
    check_convention(found, get_convention({"et": 3, "nc": 1, "ed": 2, "ignore": 4}))
    with pytest.raises(PedsegError, match="contradicted"):
        check_convention(found, get_convention({"et": 3, "nc": 1, "ed": 2, "background": 4}))


def test_check_of_a_custom_convention() -> None:
    check_convention(evidence({2, 5, 7, 9}), CUSTOM)
    with pytest.raises(PedsegError, match="label 1 occurs"):
        check_convention(evidence({1, 2, 5, 7}), CUSTOM)


def test_real_adult_case_is_recognised(shared: Path) -> None:
    folder = shared / "real" / "UPENN-GBM-00006_11"
    paths = [folder / f"{folder.name}_{name}.nii.gz" for name in ("t1", "t1ce", "seg")]
    t1n, t1c, label = (np.asanyarray(nib.nifti1.Nifti1Image.from_filename(path).dataobj) for path in paths)
    brain = t1n != 0
    scores = [(image - image[brain].mean()) / image[brain].std() for image in (t1n, t1c)]
    found = gather_evidence("adult", [measure_labels(label.astype(np.int64), scores[1] - scores[0])])
    assert found.values == {1, 2, 4}
    assert detect_convention(found) is CONVENTIONS["brats2021"]
