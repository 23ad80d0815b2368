"""What the commands make of each of the small inputs that people have reported: right, or refused with these words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

PED = "ped"


@dataclass(frozen=True)
class Input:
    """A command on one input.

    Attributes:
        name: of the function that makes the input.
        verb: of the command.
        folder: below the input's that the command is given.
        more: further words of the command line; for ``evaluate`` the folder of the labels first.
        cohort: for ``prepare``.
        said: words of which the message has each; a refusal names file and remedy there.
        refused: whether nothing, or not everything, is done, by the exit code.
        cases: that are right; None where it is not counted.
        like: case → seed of the plain case whose voxels it has.
        dice: mean of each region.
    """

    name: str
    verb: str = "prepare"
    folder: str = ""
    more: Sequence[str] = ()
    cohort: str = PED
    said: Sequence[str] = ()
    refused: bool = False
    cases: int | None = None
    like: Mapping[str, int] = field(default_factory=dict)
    dice: Mapping[str, float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Short name of the trial."""
        return " ".join(word for word in (self.name, self.verb, self.folder, *self.more) if word)

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.refused:
            return "refused"
        return "right, and said" if self.said else "right"


ONE = "BraTS-PED-00001-000"
RIGHT = {ONE: 100}
PERFECT = {"wt": 1.0, "tc": 1.0, "et": 1.0}
MOVED = {"wt": 0.6933, "tc": 0.5635}
BOXES = dict.fromkeys(PERFECT, (0.6 + 1 + 0 + 0) / 4)  # three of five slices shared; both, label or map empty
PEDS2024 = ("--convention", "brats_ped2024")


def refused(name: str, *said: str, verb: str = "prepare", **how: object) -> Input:
    """One that is refused with these words."""
    return Input(name, verb, said=said, refused=True, **how)  # type: ignore[arg-type]


INPUTS = (
    Input("base", folder="ped", cases=10),
    Input("base", folder="adult", cohort="adult", cases=12),
    Input("g1_modality_flipped", more=("--check",), said=("t2f.nii.gz: is stored in RAS axes", "turned")),
    Input("g1_modality_flipped", cases=1, like=RIGHT),
    Input("g1_modality_flipped", "predict", cases=1),
    refused("g1_modality_shifted", "t1c.nii.gz: has another affine", "40 mm apart", "register"),
    refused("g1_modality_shifted", "t1c.nii.gz: has another affine", "40 mm apart", verb="predict"),
    *(Input("g2_cohort_reoriented", folder=axes, cases=1, like=RIGHT) for axes in ("RAS", "PIR", "LPS")),
    Input("g2_cohort_reoriented", "predict", "PIR", cases=1),
    Input("g4_units_metre", "evaluate", "pred", ("labels",), dice=MOVED, said=("16.0000",)),
    Input("g4_case_in_metre", cases=1, like={"BraTS-PED-00000-000": 100}),
    Input("g4_case_in_metre", "predict", cases=1),
    refused(
        "g6_identity_prediction",
        "has another affine",
        "bring the label map",
        verb="evaluate",
        folder="pred",
        more=("labels",),
    ),
    Input("g7_rounding", cases=1, like=RIGHT),
    Input("g8_oblique_aniso", cases=1),
    Input("g8_oblique_aniso", "predict", cases=1),
    refused("g9_huge_spacing", "has voxels of 1000 × 1000 × 1000 mm", "xyzt_units"),
    refused("g9_huge_spacing", "has voxels of 1000 × 1000 × 1000 mm", verb="predict"),
    Input("v1_label_scl_slope", cases=1, like=RIGHT),
    Input(
        "v2_label_types",
        cases=5,
        like={**{f"BraTS-PED-0000{i}-000": 100 + i for i in range(4)}, "BraTS-PED-00010-000": 110},
    ),
    Input("v3_trailing_axis", cases=1, like=RIGHT),
    refused("v4_leading_axis", *(f"BraTS-PED-0000{i}-000-t1c.nii.gz" for i in range(4))),
    refused("v5_nan", "t2f.nii.gz", "NaN"),
    refused("v5_nan", "t2f.nii.gz", "NaN", verb="predict"),
    Input("v6_background", folder="zscored", said=("100% of the volume counts as brain", "background"), cases=1),
    Input("v6_background", folder="plus7", said=("100% of the volume counts as brain", "values up to 7"), cases=1),
    Input("v6_background", folder="plus7", more=("data.cohorts.ped.background=7",), cases=1),
    refused("v8_label_outside_brain", "00001-000-seg.nii.gz: 100.0% of its tumour", "outside the brain"),
    refused("v9_zero_modality", "t1c.nii.gz: every voxel of t1c is 0"),
    refused("v9_zero_modality", "t1c.nii.gz: every voxel of t1c is 0", verb="predict"),
    Input("f1_plain_named_gz", folder="plain", cases=1, like=RIGHT),
    Input("f1_plain_named_gz", folder="gz", cases=1, like=RIGHT),
    Input("f1_plain_named_gz", "predict", "plain", cases=1),
    Input("f1_plain_named_gz", "predict", "gz", cases=1),
    Input("f1_plain_cohort", cases=2, like={"BraTS-PED-00000-000": 100, ONE: 101}),
    Input("f1_plain_cohort", "predict", cases=2),
    refused("f2_not_nifti", *(f"BraTS-PED-0000{i}-000-t1c.nii.gz" for i in range(6)), "again"),
    refused("f2_not_nifti", *(f"BraTS-PED-0000{i}-000-t1c.nii.gz" for i in range(6)), verb="predict"),
    refused("f3_duplicates", *(f"BraTS-PED-0000{i}-000: has the images of {ONE}" for i in (2, 3, 4))),
    Input("f4_stray", cases=2, like=RIGHT),
    Input("f4_stray", "predict", cases=2),
    Input("f5_extension", "predict", cases=1),
    refused("f6_nrrd", ".nrrd, which is NRRD", "convert it", folder="Dataset001_X"),
    refused("f6_nrrd", ".nrrd, which is NRRD", "convert it", verb="predict", folder="Dataset001_X"),
    refused("f7_links", f"{ONE}: a link to nothing", "t2w.nii.gz: a link to nothing", folder="cohort"),
    refused("f7_links", f"{ONE}: a link to nothing", verb="predict", folder="cohort", cases=1),
    Input("f8_extra_in_predictions", "evaluate", "pred", ("labels",), dice=PERFECT),
    Input("l1_ucsf_pdgm", cohort="adult", cases=6),
    Input("l4_sessions", "splits", "sub", ("CBTN", "PatientID")),
    Input("l5_kaggle_folder_named_nii", cohort="adult", cases=2),
    Input("l6_brats2020_355", cohort="adult", cases=2),
    *(
        Input("l7_labels_only_tree", "evaluate", maps, ("labels",), dice=PERFECT)
        for maps in ("pred", "pred_seg", "pred_upper", "flat")
    ),
    Input("l8_bare_names", cases=3),
    Input("l9_nnunet", folder="order", cases=6),
    Input("l9_nnunet", folder="inverted", cases=6),
    Input("l9_nnunet", folder="mri", cases=6),
    Input("l10_names", folder="uni", cases=1),
    refused("l10_names", "no case has t1c", folder="odd"),
    Input("l10_names", "predict", "odd", ("--allow-missing",), cases=3),
    refused("l12_decathlon", "BRATS_009.nii.gz", "4-D"),
    refused("c1_ped2024_in_evaluate", "label 4", "brats_ped2024", verb="evaluate", folder="pred", more=("labels",)),
    Input("c1_ped2024_in_evaluate", "evaluate", "pred", ("labels", *PEDS2024), dice={"wt": 1.0, "tc": 1.0, "et": 0.0}),
    refused("c1_ped2024_in_evaluate", "seg.nii.gz: holds label 4", folder="cases"),
    refused("c3_gli2024_rc", "seg.nii.gz: holds label 3", "convention", cohort="adult"),
    Input("c3_gli2024_rc", cohort="adult", more=("data.cohorts.adult.convention=brats_gli2024",), cases=6),
    refused(
        "c5_same_folder_twice",
        "has the images of BraTS-PED-00000-000 in cohort",
        verb="prepare both",
        folder="b",
        more=("a",),
    ),
    refused("c5_same_folder_twice", "in cohort", verb="prepare both", folder="a", more=("a",)),
    Input("c6_evaluate_spacing", "evaluate", "pred", ("labels",), dice=BOXES),
    refused("c7_predict_then_evaluate", "label 4", "--convention", verb="evaluate", folder="pred", more=("cases",)),
    refused(
        "c7_predict_then_evaluate",
        "--prediction-convention brats2023",
        verb="evaluate",
        folder="pred",
        more=("cases", *PEDS2024),
    ),
    Input(
        "c7_predict_then_evaluate",
        "evaluate",
        "pred",
        ("cases", *PEDS2024, "--prediction-convention", "brats2023"),
        dice=PERFECT,
    ),
)


def table() -> str:
    """Every trial with its verdict, as Markdown."""
    rows = [
        f"| {one.name} | `{' '.join([one.verb, one.folder, *one.more]).strip()}` | {one.verdict} |" for one in INPUTS
    ]
    return "\n".join(["| input | command | verdict |", "|---|---|---|", *rows])


if __name__ == "__main__":
    print(table())  # noqa: T201
