"""What the check of a cohort shows: its cases by themselves, as copies of each other, and their labels together."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pedseg.cases import Case, Discovery
from pedseg.data.check_record import check_of
from pedseg.data.cohort_settings import CohortSettings
from pedseg.data.exchanged import find_exchanged
from pedseg.data.parallel import run_parallel
from pedseg.data.ready import ready_entries
from pedseg.errors import PedsegError, Problem, Severity
from pedseg.imaging.copies import Identity, find_copies
from pedseg.imaging.integrity import CaseCheck, check_case
from pedseg.labels import (
    EXPECTED,
    CaseEvidence,
    LabelConvention,
    check_convention,
    detect_convention,
    fitting_conventions,
    gather_evidence,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CohortCheck:
    """What the check of a cohort has shown.

    Attributes:
        findings: everything that is worth saying.
        usable: cases without problems.
        ready: ids of those that are prepared already.
        checks: what reading each usable case has shown, by case id.
    """

    findings: tuple[Problem, ...]
    usable: tuple[Case, ...]
    ready: frozenset[str]
    checks: Mapping[str, CaseCheck]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What keeps cases from being used."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.PROBLEM)

    @property
    def identities(self) -> list[Identity]:
        """What the usable cases are known by."""
        return [check.identity for check in self.checks.values()]

    def with_findings(self, findings: Sequence[Problem]) -> "CohortCheck":
        """The same with more findings; cases that have a problem by them are not usable any more."""
        bad = {finding.case for finding in findings if finding.severity is Severity.PROBLEM}
        return CohortCheck(
            (*self.findings, *findings),
            tuple(case for case in self.usable if case.id not in bad),
            self.ready - bad,
            {case_id: check for case_id, check in self.checks.items() if case_id not in bad},
        )

    @property
    def evidence(self) -> list[CaseEvidence]:
        """What the labels of the usable cases tell."""
        return [check.evidence for check in self.checks.values() if check.evidence]


def check_cohort(
    discovery: Discovery, settings: CohortSettings, *, store: Path | None = None, workers: int
) -> CohortCheck:
    """Check every case that is not prepared yet; prepared ones were checked when they were.

    Cases that an older version has prepared, which knew less of them, are checked again.

    Args:
        discovery: the cases.
        settings: of the cohort.
        store: its folder of prepared cases, if it has one.
        workers: processes.
    """
    ready = {} if store is None else ready_entries(store, discovery.cases, settings, workers=workers)
    known = {case.id: check for case in discovery.cases if (check := check_of(case, ready.get(case.id)))}
    waiting = [case for case in discovery.cases if case.id not in known]
    job = partial(check_case, convention=settings.convention, background=settings.background)
    for case, check in zip(
        waiting, run_parallel(job, waiting, workers=workers, description=f"checking {settings.cohort}"), strict=True
    ):
        known[case.id] = check
    checks = {case.id: known[case.id] for case in discovery.cases}
    found = [finding for check in checks.values() for finding in check.findings]
    begun = CohortCheck((), discovery.cases, frozenset(ready), checks).with_findings(
        [*discovery.problems, *discovery.remarks, *found]
    )
    copies = [
        Problem(case_id, "", f"has the images of {original}: one patient would count twice", "remove one of the two")
        for case_id, original in find_copies(begun.identities).items()
    ]
    return begun.with_findings([*copies, *find_exchanged(settings.cohort, checks, _known(settings, begun.evidence))])


def _known(settings: CohortSettings, evidence: Sequence[CaseEvidence]) -> LabelConvention | None:
    """The label convention, if it is settled."""
    try:
        return _settled(settings, evidence)[0] if settings.labelled else None
    except PedsegError:
        return None


def settle_convention(settings: CohortSettings, evidence: Sequence[CaseEvidence]) -> LabelConvention | None:
    """Detect the cohort's label convention, or check the one that is set, against the labels of all its cases.

    Raises:
        PedsegError: the labels speak for none, for several, or against the one that is set; or it does not ignore what
            is to be ignored.
    """
    convention, remark = _settled(settings, evidence)
    if remark:
        logger.warning("cohort %s: %s. %s", settings.cohort, remark, EXPECTED)
    return convention


def convention_findings(
    settings: CohortSettings, evidence: Sequence[CaseEvidence], *, needed: bool = True
) -> list[Problem]:
    """The same as findings.

    Args:
        settings: of the cohort.
        evidence: what the labels of its cases tell.
        needed: whether it is a problem if the labels fit several conventions and none is set.
    """
    try:
        _, remark = _settled(settings, evidence)
    except PedsegError as error:
        values = {value for case in evidence for value in case.voxels}
        open_ = not needed and settings.convention is None and fitting_conventions(values)
        severity = Severity.WARNING if open_ else Severity.PROBLEM
        fix = "say which it is (--convention)" if open_ else "set the cohort's convention, or correct the labels"
        return [Problem(settings.cohort, "", str(error), fix, severity)]
    return [Problem(settings.cohort, "", remark, EXPECTED, Severity.WARNING)] if remark else []


def _settled(settings: CohortSettings, evidence: Sequence[CaseEvidence]) -> tuple[LabelConvention | None, str]:
    """The convention, and what is doubtful about it."""
    if not settings.labelled or not evidence:
        return settings.convention, ""
    gathered = gather_evidence(settings.cohort, evidence)
    convention = settings.convention or detect_convention(gathered)
    check_convention(gathered, convention)
    if read := settings.ignored.difference(convention.ignore):
        raise PedsegError(
            f"cohort {settings.cohort!r}: its dataset.json says that label {'+'.join(map(str, sorted(read)))} is "
            f"ignored, which the convention {convention} does not; set one that does, such as "
            f"data.cohorts.{settings.cohort}.convention={{et: 3, nc: 2, ed: 1, ignore: {min(read)}}}"
        )
    known = gathered.values.difference(convention.ignore)
    if len(evidence) == 1 or len(known) != 1:
        return convention, ""
    (value,) = known
    return convention, (
        f"no other label than {value} occurs in {len(evidence)} cases; it is read as in {convention}, not as the whole "
        "tumour"
    )
