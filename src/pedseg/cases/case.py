"""A case and the patient it belongs to."""

import re
from dataclasses import dataclass
from pathlib import Path

from pedseg.errors import Problem


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A 3-D image: a file of its own, or one volume of a 4-D file (Decathlon).

    Attributes:
        path: the NIfTI file.
        volume: index along the fourth axis; None for a 3-D file.
    """

    path: Path
    volume: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One imaging session.

    Attributes:
        id: unique in its cohort and usable as a file name.
        patient: the person; several cases may share it.
        cohort: name of the data set.
        images: one per modality, in the order of `pedseg.labels.Modality`.
        label: the label file; None in an unlabelled cohort.
    """

    id: str
    patient: str
    cohort: str
    images: tuple[ImageFile, ...]
    label: Path | None


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a folder holds: the complete cases and what is wrong with the others, both in the order of case ids."""

    cases: tuple[Case, ...]
    problems: tuple[Problem, ...]


_PATIENT = re.compile(  # everything before the number of the session, in the collections that have one
    r"BraTS-[a-z]+-\d+(?=-\d+$)"  # BraTS 2023 and on
    r"|BraTS1[5-9]_.+(?=_\d+$)"  # BraTS 2015-2019: Brats18_CBICA_AAB_1
    r"|UPENN-GBM-\d+(?=_\d+$)"
    r"|UCSF-PDGM-\d+(?=_FU\d+d$)",
    re.IGNORECASE,
)


def patient_of(case_id: str) -> str:
    """Return the patient of a case: the id without its session number, where the naming is known to have one.

    ``BraTS-GLI-00009-001`` gives ``BraTS-GLI-00009``; an id of unknown form is its own patient.
    """
    match = _PATIENT.match(case_id)
    return match.group() if match else case_id
