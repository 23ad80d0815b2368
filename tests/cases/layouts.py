"""Layouts as collections publish them, with the files' official names: case → role → path, and what lies beside."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROLES = ("t1n", "t1c", "t2w", "t2f", "label")
Files = Mapping[str, str]  # role → path


@dataclass(frozen=True)
class Layout:
    """A tree of two or three labelled cases.

    Attributes:
        cases: id → role → path below the cohort's folder.
        patients: number of patients.
        beside: further NIfTI files, which are no image and no label of a case here.
        others: further files.
    """

    cases: Mapping[str, Files]
    patients: int
    beside: tuple[str, ...] = ()
    others: tuple[str, ...] = field(default=("Thumbs.db", "._.DS_Store", "__MACOSX/._a-t1n.nii.gz", "notes.txt"))


def _case(stem: str, endings: Iterable[str]) -> Files:
    return {role: stem + ending for role, ending in zip(ROLES, endings, strict=True)}


def _ucsf() -> Layout:
    endings = ("_T1.nii.gz", "_T1c.nii.gz", "_T2.nii.gz", "_FLAIR.nii.gz", "_tumor_segmentation.nii.gz")
    more = (
        *("T1_bias", "T1c_bias", "T2_bias", "FLAIR_bias", "DWI", "DWI_bias", "ADC", "ASL", "SWI", "SWI_bias"),
        *("DTI_eddy_FA", "DTI_eddy_L1", "DTI_eddy_MD", "DTI_eddy_noreg"),
        *("brain_segmentation", "brain_parenchyma_segmentation"),
    )
    ids = ("UCSF-PDGM-0004", "UCSF-PDGM-0391", "UCSF-PDGM-0391_FU016d")
    stems = {case: f"PKG - UCSF-PDGM Version 5/UCSF-PDGM-v5/{case}_nifti/{case}" for case in ids}
    return Layout(
        {case: _case(stem, endings) for case, stem in stems.items()},
        patients=2,
        beside=tuple(f"{stem}_{name}.nii.gz" for stem in stems.values() for name in more),
        others=("UCSF-PDGM-metadata_v5.csv", f"{stems[ids[0]]}_DTI_eddy.eddy_rotated_bvecs"),
    )


def _upenn() -> Layout:
    top = "PKG-UPENN-GBM-NIfTI/UPENN-GBM/NIfTI-files"
    ids = ("UPENN-GBM-00001_11", "UPENN-GBM-00002_11", "UPENN-GBM-00002_21")
    labels = ("images_segm/{}_segm", "automated_segm/{}_automated_approx_segm", "images_segm/{}_segm")
    names = ("T1", "T1GD", "T2", "FLAIR")
    cases = {
        case: {
            **{r: f"{top}/images_structural/{case}/{case}_{n}.nii.gz" for r, n in zip(ROLES, names, strict=False)},
            "label": f"{top}/{label.format(case)}.nii.gz",
        }
        for case, label in zip(ids, labels, strict=True)
    }
    beside = [
        place.format(case)
        for case in ids
        for place in (
            *(f"images_structural_unstripped/{{0}}/{{0}}_{name}_unstripped" for name in names),
            "images_DSC/{0}/{0}_DSC_ap-rCBV", "images_DTI/images_DTI/{0}/{0}_DTI_FA",
        )
    ]  # fmt: skip
    beside.append(f"automated_segm/{ids[0]}_automated_approx_segm")
    return Layout(cases, 2, tuple(f"{top}/{name}.nii.gz" for name in beside), ("UPENN-GBM_clinical_info_v2.1.csv",))


def _bids() -> Layout:
    endings = ("_T1w.nii.gz", "_ce-gadolinium_T1w.nii.gz", "_T2w.nii.gz", "_FLAIR.nii.gz")
    cases, beside = {}, []
    for person, session in (("01", "pre"), ("01", "post"), ("02", "pre")):
        folder, case = f"sub-{person}/ses-{session}", f"sub-{person}_ses-{session}"
        images = {role: f"{folder}/anat/{case}{end}" for role, end in zip(ROLES, endings, strict=False)}
        masks = f"derivatives/manual_masks/{folder}/anat/{case}"
        cases[case] = {**images, "label": f"{masks}_space-T1w_label-tumor_dseg.nii.gz"}
        beside += [f"{masks}_desc-brain_mask.nii.gz", f"{folder}/dwi/{case}_dwi.nii.gz"]
        beside += [f"derivatives/prep/{folder}/anat/{case}_desc-preproc{end}" for end in endings]
        beside.append(f"derivatives/fmriprep/{folder}/anat/{case}_dseg.nii.gz")
    others = (
        "dataset_description.json",
        "participants.tsv",
        "sourcedata/sub-01/1.dcm",
        "sub-01/ses-pre/anat/x_T1w.json",
    )
    return Layout(cases, 2, tuple(beside), others)


def _bids_without_sessions() -> Layout:
    endings = ("_T1w.nii", "_ce-GADOLINIUM_T1w.nii", "_T2w.nii", "_FLAIR.nii")
    cases = {
        case: {
            **{role: f"{case}/anat/{case}{end}" for role, end in zip(ROLES, endings, strict=False)},
            "label": f"derivatives/masks/{case}/anat/{case}_dseg.nii",
        }
        for case in ("sub-A1", "sub-A2")
    }
    return Layout(cases, 2)


def _bare() -> Layout:
    endings = ("T1.nii.gz", "T1CE.nii.gz", "T2.nii.gz", "FLAIR.nii.gz", "seg.nii.gz")
    cases = {case: _case(f"{case}/", endings) for case in ("patient 1", "patient 2")}
    return Layout(cases, 2, beside=("patient 1/ADC.nii.gz", "patient 1/brain_seg.nii.gz"))


def _bare_sessions() -> Layout:
    cases = {}
    for person, week in (("Patient-001", "week-000-1"), ("Patient-001", "week-044"), ("Patient-002", "week-000-1")):
        folder = f"{person}/{week}"
        cases[f"{person}_{week}"] = {
            **{r: f"{folder}/images/{n}.nii.gz" for r, n in zip(ROLES, ("T1", "CT1", "T2", "FLAIR"), strict=False)},
            "label": f"{folder}/labels/seg.nii.gz",
        }
    return Layout(cases, 2)


def _kaggle() -> Layout:
    """BraTS 2020 and 2021: doubled folders, a label of another name, folders in place of files."""
    endings = ("_t1.nii", "_t1ce.nii", "_t2.nii", "_flair.nii", "_seg.nii")
    top = "BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData"
    cases = {
        case: dict(_case(f"{top}/{case}/{case}", endings)) for case in ("BraTS20_Training_354", "BraTS20_Training_355")
    }
    cases["BraTS20_Training_355"]["label"] = f"{top}/BraTS20_Training_355/W39_1998.09.19_Segm.nii"
    odd = "BraTS2021_00057"
    cases[odd] = dict(_case(f"{odd}/{odd}", endings))
    cases[odd]["t2f"] += "/00000057_brain_flair.nii"
    cases[odd]["label"] += "/00000057_final_seg.nii"
    return Layout(cases, 3, others=(f"{top}/name_mapping.csv", f"{top}/survival_info.csv"))


def _mu_glioma() -> Layout:
    endings = ("_brain_t1n.nii.gz", "_brain_t1c.nii.gz", "_brain_t2w.nii.gz", "_brain_t2f.nii.gz", "_tumorMask.nii.gz")
    ids = {f"PatientID_0003_Timepoint_{time}": f"PatientID_0003/Timepoint_{time}" for time in (1, 2)}
    return Layout({case: _case(f"{folder}/{case}", endings) for case, folder in ids.items()}, patients=1)


def _tcga() -> Layout:
    """BraTS-TCGA-GBM: an automated segmentation of each case, some of them corrected in a second file."""
    endings = ("_t1.nii.gz", "_t1Gd.nii.gz", "_t2.nii.gz", "_flair.nii.gz")
    labels = {"TCGA-02-0003_1997.06.08": "_GlistrBoost_ManuallyCorrected", "TCGA-02-0006_1996.08.23": "_GlistrBoost"}
    top = "Pre-operative_TCGA_GBM_NIfTI_and_Segmentations"
    cases = {c: _case(f"{top}/{c}/{c}", (*endings, f"{label}.nii.gz")) for c, label in labels.items()}
    corrected = next(iter(cases))
    return Layout(cases, 2, beside=(f"{top}/{corrected}/{corrected}_GlistrBoost.nii.gz",))


def _folder_for_each_sequence() -> Layout:
    """As the Erasmus Glioma Database."""
    endings = ("1_T1/NIFTI/T1", "2_T1GD/NIFTI/T1GD", "3_T2/NIFTI/T2", "4_FLAIR/NIFTI/FLAIR", "5_SEGMENTATION/NIFTI/seg")
    names = tuple(f"{ending}.nii.gz" for ending in endings)
    return Layout({case: _case(f"{case}/", names) for case in ("EGD-0001", "EGD-0002")}, patients=2)


def _upper() -> Layout:
    endings = ("-T1N.NII.GZ", "-T1C.NII.GZ", "-T2W.NII.GZ", "-T2F.NII.GZ", "-SEG.NII.GZ")
    return Layout({case: _case(f"{case}/{case}", endings) for case in ("BRATS-PED-1", "BRATS-PED-2")}, patients=2)


LAYOUTS: Mapping[str, Layout] = {
    "UCSF-PDGM": _ucsf(),
    "UPENN-GBM": _upenn(),
    "BIDS": _bids(),
    "BIDS without sessions": _bids_without_sessions(),
    "bare names": _bare(),
    "bare names in sessions": _bare_sessions(),
    "Kaggle": _kaggle(),
    "MU-Glioma-Post": _mu_glioma(),
    "BraTS-TCGA-GBM": _tcga(),
    "a folder for each sequence": _folder_for_each_sequence(),
    "upper case": _upper(),
}


def touch(root: Path, *names: str) -> None:
    """Create empty files."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def plant(root: Path, layout: Layout) -> None:
    """Create the tree of empty files."""
    touch(root, *(path for files in layout.cases.values() for path in files.values()), *layout.beside, *layout.others)
