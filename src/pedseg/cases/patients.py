"""Whose a case is: what its id says in the namings of public collections, and what a user says besides."""

import hashlib
import json
import logging
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from pedseg.cases.table import ENDINGS, read_table
from pedseg.errors import PedsegError

logger = logging.getLogger(__name__)
SETTING: Final = "folds.patients"
_SHOWN = 3  # ids that a message names

_SESSION = r"(?:tp|time ?point|time|ses(?:sion)?|visit|week|month|day|fu|follow-?up)[-_ ]?\d+(?:[-_]\d+)?d?"
_STAGE = r"(?:baseline|follow-?up|(?:pre|post)(?:[-_ ]?op)?)"
_DATE = r"(?:19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d"
_NAMINGS = tuple(  # the first group is the patient; ids that name none, as those of BraTS 2020 and 2021, are not here
    re.compile(naming, re.IGNORECASE)
    for naming in (
        r"(BraTS(?!-GoAT)(?:-[a-z]+)+-\d+)(?:-\d+)?",  # 2023 and on: BraTS-GLI-00009-001, BraTS-MEN-RT-0003-1
        r"(BraTS1[5-9]_.+)_\d+",  # 2017-2019: Brats18_CBICA_AAB_1
        r"(BraTS_\d+_pat\d+|BraTS_tcia_pat\d+)_\d+",  # 2015 and 2016: brats_tcia_pat101_0001
        r"(UPENN-GBM-\d+)(?:_\d+)?",  # UPENN-GBM-00006_11, _21 the follow-up
        r"(UCSF-PDGM-\d+)(?:_FU\d+d)?",  # UCSF-PDGM-0429_FU003d
        r"(UCSD-PTGBM-\d+)(?:_\d+)?",
        r"(RHUH-\d+)(?:_\d+)?",  # RHUH-GBM: RHUH-0001_0 before surgery, _1 and _2 after it
        r"(sub-[a-z0-9]+)(?:_.+)?",  # BIDS: sub-01_ses-02
        r"(TCGA-[a-z0-9]{2}-[a-z0-9]{4})(?:[-_. ].*)?",  # TCGA-02-0003_1997.06.08
        r"(CBTN[-_]?\d+|C\d{5,})(?:[-_].+)?",  # Children's Brain Tumor Network, and its sessions by age in days
        r"(EGD-\d+|BT\d{4})",  # Erasmus Glioma Database, UTSW-Glioma: one session each
        rf"(.*\d.*?)(?:[-_. ]|(?<=\d)){_SESSION}",  # PatientID_0003_Timepoint_1, Patient-001_week-000-1
        rf"(.*\d.*?)[-_. ](?:{_STAGE}|{_DATE}(?:[-_. ].*)?)",  # W39_1998.09.19
    )
)

_OF_A_SESSION = re.compile(rf"{_SESSION}|{_STAGE}|{_DATE}", re.IGNORECASE)


def known_patient(case_id: str) -> str | None:
    """Return the patient that a case's id names; None where its naming is not known to name one."""
    for naming in _NAMINGS:
        if match := naming.fullmatch(case_id):
            return match[1]
    return None


def patient_of(case_id: str) -> str:
    """Return the patient of a case: the id without its session, where the naming is known to have one.

    ``BraTS-GLI-00009-001`` gives ``BraTS-GLI-00009``; an id of unknown form is its own patient.
    """
    return known_patient(case_id) or case_id


def names_a_session(text: str) -> bool:
    """Whether a name is that of a session, a stage of treatment or a date, and not of a patient."""
    return _OF_A_SESSION.fullmatch(text) is not None


def same_text(text: str) -> str:
    """What two spellings of one name have in common: Unicode's composed form, in small letters."""
    return unicodedata.normalize("NFC", text).casefold()


@dataclass(frozen=True, slots=True)
class Patients:
    """What a user says of whose cases are whose; nothing by default, and ids speak for themselves.

    Attributes:
        source: the table or the regular expression, as messages show it.
        table: case → patient.
        pattern: has a group, which is the patient where it is found in an id.
    """

    source: str = ""
    table: Mapping[str, str] = field(default_factory=dict)
    pattern: re.Pattern[str] | None = None

    @classmethod
    def read(cls, source: str | Path | None) -> Self:
        """Read a table with the columns case and patient, or take a regular expression with a group.

        Args:
            source: a path that ends in .csv, .tsv or .json, or an expression; None for nothing.

        Raises:
            PedsegError: the table cannot be read, lacks a column or a cell, or gives a case to two patients; the
                expression is none, or has no group.
        """
        if source is None:
            return cls()
        if str(source).lower().endswith(ENDINGS):
            return cls(str(source), table=_read(Path(source)))
        return cls(str(source), pattern=check_pattern(str(source)))

    @property
    def digest(self) -> str | None:
        """Of the content of the table; None without one."""
        content = json.dumps(sorted(self.table.items()))
        return hashlib.sha256(content.encode()).hexdigest()[:16] if self.table else None

    def of(
        self, cohorts: Mapping[str, Iterable[str]], known: Mapping[str, Mapping[str, str]] | None = None
    ) -> dict[str, dict[str, str]]:
        """Tell the patient of each case, cohort by cohort.

        What the user says comes first, then what is known from elsewhere, then the id. How many ids of a cohort tell
        nothing is logged: each is a patient of its own.

        Args:
            cohorts: cohort → ids of its cases.
            known: cohort → case → patient, where something else than the id tells it.

        Raises:
            PedsegError: the user speaks of no case at all, or of a part of a cohort only.
        """
        said = {cohort: self._said(cohort, list(ids)) for cohort, ids in cohorts.items()}
        if self.source and not any(said.values()):
            ids = [case for cohort in cohorts.values() for case in cohort]
            raise PedsegError(f"{SETTING}={self.source} speaks of no case; they are called {_some(ids)}")
        return {
            cohort: said[cohort] or _told_by_ids(cohort, ids, (known or {}).get(cohort, {}))
            for cohort, ids in cohorts.items()
        }

    def _said(self, cohort: str, ids: list[str]) -> dict[str, str]:
        """What the user says of a cohort: of all of its cases, or of none."""
        found = {case: patient for case in ids if (patient := self._patient(case))}
        left = [case for case in ids if case not in found]
        if found and left:
            raise PedsegError(
                f"{SETTING}={self.source} speaks of {len(found)} of {len(ids)} cases of cohort {cohort}, and not of "
                f"{_some(left)}; sessions of one patient could come apart. Let it speak of all"
            )
        return found

    def _patient(self, case: str) -> str | None:
        if self.pattern is None:
            return self.table.get(same_text(case))
        match = self.pattern.search(case)
        return next((group for group in match.groups() if group), None) if match else None


def check_pattern(text: str) -> re.Pattern[str]:
    """Compile a regular expression that has a group.

    Raises:
        PedsegError: it is none, or has no group.
    """
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise PedsegError(f"{SETTING}={text}: is no regular expression ({error})") from None
    if not pattern.groups:
        raise PedsegError(
            f"{SETTING}={text}: has no group; put what is the patient in parentheses, such as '(P[0-9]+)_.*', or give "
            "a table that ends in .csv"
        )
    return pattern


def _read(path: Path) -> dict[str, str]:
    """Patient by the case's `same_text`."""
    found: dict[str, str] = {}
    for row in read_table(path):
        case, patient = row.get("case", ""), row.get("patient", "")
        if not case or not patient:
            raise PedsegError(
                f"{path}: needs a case and a patient in every row, in columns of these names; found {dict(row)}"
            )
        if found.setdefault(same_text(case), patient) != patient:
            raise PedsegError(f"{path}: gives case {case} to {found[same_text(case)]} and to {patient}; keep one row")
    return found


def _told_by_ids(cohort: str, ids: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    elsewhere = {case: patient for case, patient in known.items() if patient != case}
    told = {case: elsewhere.get(case) or known_patient(case) for case in ids}
    silent = [case for case, patient in told.items() if patient is None]
    if silent:
        logger.warning(
            "cohort %s: %d of %d ids name no patient that could be told (%s), so each is one of its own; if some are "
            "sessions of one patient, say whose by %s=TABLE.csv (columns case, patient)",
            cohort, len(silent), len(told), _some(silent), SETTING,
        )  # fmt: skip
    return {case: patient or case for case, patient in told.items()}


def _some(ids: Iterable[str]) -> str:
    names = sorted(ids)
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
