"""What the check of a case leaves in its entry in the store, so that a prepared case is not read again."""

from collections.abc import Mapping
from typing import Any

from pedseg.cases import Case
from pedseg.data.store import DIGESTS
from pedseg.errors import Problem, Severity
from pedseg.imaging.copies import Identity
from pedseg.imaging.integrity import CaseCheck
from pedseg.labels import CaseEvidence

CONTRASTS = "contrasts"  # key of an entry: what tells sequences apart


def record_of(check: CaseCheck) -> dict[str, Any]:
    """What the check of a case leaves in its entry."""
    evidence = check.evidence
    return {
        DIGESTS: list(check.identity.digests),
        "axes": check.axes,
        CONTRASTS: dict(check.contrasts),
        "remarks": [[row.file, row.what, row.fix, row.severity] for row in check.findings],
        "evidence": evidence and {"voxels": evidence.voxels, "enhancement": evidence.enhancement},
    }


def check_of(case: Case, entry: Mapping[str, Any] | None) -> CaseCheck | None:
    """What the check of a prepared case has shown; None if it is not known as it would be now."""
    if entry is None or DIGESTS not in entry or CONTRASTS not in entry:
        return None
    remarks = tuple(
        Problem(case.id, file, what, fix, Severity(severity)) for file, what, fix, severity in entry["remarks"]
    )
    identity = Identity(case.id, case.patient, tuple(entry[DIGESTS]))
    return CaseCheck(identity, remarks, _evidence(entry), entry["axes"], entry[CONTRASTS])


def _evidence(entry: Mapping[str, Any]) -> CaseEvidence | None:
    stored = entry["evidence"]
    if stored is None:
        return None
    return CaseEvidence(*({int(k): v for k, v in stored[name].items()} for name in ("voxels", "enhancement")))
