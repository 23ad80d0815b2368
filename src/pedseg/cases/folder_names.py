"""What the folder adds to the names of its files: the case of those that name a role alone, or another case."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from pedseg.cases.naming import Name, composed, read_name
from pedseg.cases.patients import names_a_session
from pedseg.cases.spellings import AUTOMATED, LABEL, role_of

GENERIC: Final = frozenset(  # names of folders that say what is in them, and not of whom
    {
        *("anat", "nifti", "nii", "niftis", "mri", "mr", "mrs", "image", "images", "img", "scan", "scans", "data"),
        *("seg", "segs", "segmentation", "segmentations", "label", "labels", "mask", "masks"),
        *("raw", "registered", "preprocessed", "processed", "structural", "brain", "stripped"),
    }
)

_OF_LABELS = frozenset(
    {"label", "labels", "labelstr", "labelsts", "seg", "segs", "segmentation", "segmentations", "gt", "ground_truth"}
)


def bare_case(folder: Path, root: Path) -> str:
    """Id of the case in `folder`: its name, or that of one above it; a session's follows the patient's.

    ``P1/images`` is P1, ``P1/week-002`` is P1_week-002.

    Args:
        folder: that holds ``T1.nii.gz``.
        root: of the cohort, at which the way up ends.
    """
    while root not in (folder, folder.parent) and _is_generic(folder.name):
        folder = folder.parent
    if root not in (folder, folder.parent) and names_a_session(folder.name):
        return composed(f"{folder.parent.name}_{folder.name}")
    return composed(folder.name)


def _is_generic(name: str) -> bool:
    """Whether a folder's name says what is in it, as ``images``, ``T1`` and ``4_FLAIR`` do."""
    plain = re.sub(r"^\d+[-_ ]", "", name)
    return plain.lower() in GENERIC or role_of(plain) is not None


def of_labels(folder: Path) -> bool:
    """Whether a folder's name says that it holds labels."""
    return folder.name.lower() in _OF_LABELS


def names_in(folder: Path, root: Path, stems: Iterable[str]) -> dict[str, Name | None]:
    """Case and role of each NIfTI file of a folder, by its stem; None for those whose names say no role.

    In a folder of one case the only label is that case's, whatever it is called (case 355 of BraTS 2020).
    """
    said = {stem: read_name(stem) for stem in stems}
    segmented = (LABEL, AUTOMATED)
    cases = {name.case for name in said.values() if name and name.case and not name.copy and name.role not in segmented}
    (only,) = cases if len(cases) == 1 else ("",)
    labels = [stem for stem, name in said.items() if name and not name.copy and name.role in segmented]
    for stem, name in said.items():
        if name and not name.case:
            case = only if name.role in segmented and only else bare_case(folder, root)
            said[stem] = replace(name, case=case)
        elif name and labels == [stem] and _is_of(folder, root, only) and not name.case.startswith(only):
            said[stem] = replace(name, case=only, adopted=True)
    return said


def _is_of(folder: Path, root: Path, case: str) -> bool:
    """Whether a folder is that of a case."""
    return bool(case) and folder != root and composed(folder.name).startswith(case)
