"""One patient under two ids: copies are known by what their files hold, not by the files."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pedseg.cases.patients import same_text


@dataclass(frozen=True, slots=True)
class Identity:
    """What a case is known by, whatever it is called.

    Attributes:
        case_id: its id.
        patient: whose it is.
        digests: `voxel_digest` of each image that is there; none where nobody has read them.
    """

    case_id: str
    patient: str
    digests: tuple[str, ...] = ()

    def of(self, patients: Mapping[str, str]) -> Self:
        """The same, of the patient that `patients` (case → patient) says."""
        return replace(self, patient=patients.get(self.case_id, self.patient))


def find_copies(cases: Iterable[Identity]) -> dict[str, str]:
    """Cases of a cohort that have an image of an earlier one → that one."""
    first: dict[str, str] = {}
    copies: dict[str, str] = {}
    for case in cases:
        earlier = next((first[digest] for digest in case.digests if digest in first), None)
        if earlier is not None:
            copies[case.case_id] = earlier
        for digest in case.digests:
            first.setdefault(digest, case.case_id)
    return copies


def find_shared(cases: Iterable[Identity], others: Iterable[Identity]) -> Iterator[tuple[str, str, str]]:
    """Cases that have an image of another cohort's, or whose patient is in it too.

    Yields:
        Id of the case; what it shares; id of the case of the other cohort.
    """
    by_image: dict[str, str] = {}
    by_patient: dict[str, str] = {}
    for other in others:
        by_patient.setdefault(same_text(other.patient), other.case_id)
        for digest in other.digests:
            by_image.setdefault(digest, other.case_id)
    for case in cases:
        copy = next((by_image[digest] for digest in case.digests if digest in by_image), None)
        if copy is not None:
            yield case.case_id, "images", copy
        elif (person := same_text(case.patient)) in by_patient:
            yield case.case_id, f"patient {case.patient}", by_patient[person]


def voxel_digest(data: NDArray[Any]) -> str:
    """Hash of the values of an image but 0, in their order of size.

    So it stays what it is in another file format, compression, number type or order of the axes, mirrored, and with
    another margin; two images of patients do not have the same values.
    """
    values = np.sort(data[data != 0].astype(np.float32, copy=False))
    return hashlib.blake2b(values.tobytes(), digest_size=16).hexdigest()
