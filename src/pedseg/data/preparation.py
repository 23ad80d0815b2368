"""From the files of a cohort to its prepared store: check everything, then prepare what is new.

A prepared case is known by its key, a hash of name, size and modification time of its files and of the settings. The
contents are not hashed: that would read 13 GB of BraTS before finding that there is nothing to do.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pedseg.cases import Case, Discovery
from pedseg.data.encoding import pack_image, pack_regions, sample_foreground, write_array
from pedseg.data.parallel import run_parallel
from pedseg.data.ready import ARRAYS, ENTRY, ready_entry, write_entry
from pedseg.data.seals import FILES, SEAL, read_sealed, sealed
from pedseg.data.store import CASES, DIGESTS, FOREGROUND, FORMAT, IMAGE, INDEX, LABEL
from pedseg.errors import PedsegError, Problem, Severity
from pedseg.files import safe_name, temporary_of, write_json
from pedseg.imaging import prepare_image, prepare_label
from pedseg.imaging.copies import Identity, find_copies
from pedseg.imaging.integrity import CaseCheck, check_case, read_checked, read_label_onto
from pedseg.labels import (
    EXPECTED,
    CaseEvidence,
    LabelConvention,
    check_convention,
    detect_convention,
    gather_evidence,
)
from pedseg.ownership import clear, foreign, listing, name_left

SETTINGS = "settings.json"
OF_A_CASE = (IMAGE, LABEL, FOREGROUND, ENTRY)
BY_FILES = "fingerprint"  # what older versions knew a case by: a hash of the bytes of its files
BESIDE_SETTINGS = {SEAL, "cohort", "input_folder", "cases"}  # of the index
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CohortSettings:
    """What decides the prepared arrays of a cohort.

    Attributes:
        cohort: its name.
        labelled: whether labels are prepared.
        convention: of its voxel labels; None to detect it (or for an unlabelled cohort).
        spacing_mm: voxel size (z, y, x) to resample to; None keeps the input's.
        background: value at or below which voxels are background; None: those that are 0.
    """

    cohort: str
    labelled: bool
    convention: LabelConvention | None
    spacing_mm: tuple[float, float, float] | None
    background: float | None = None

    def record(self) -> dict[str, Any]:
        """Return the settings as JSON holds them."""
        c = self.convention if self.labelled else None
        labels = {} if c is None else {key: list(v) for key, v in c.by_meaning.items() if v}
        tissues = None if c is None else {"name": c.name, **labels}
        spacing = None if self.spacing_mm is None else list(self.spacing_mm)
        record = {"format": FORMAT, "labelled": self.labelled, "convention": tissues, "spacing_mm": spacing}
        return record | self.background_record

    @property
    def background_record(self) -> dict[str, float]:
        """The background where one is set, so that older stores are those without."""
        return {} if self.background is None else {"background": self.background}


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


def key_of(case: Case, settings: CohortSettings) -> str:
    """Hash of a case's files (name, size, time of change) and of the settings; a label counts if it is prepared."""
    files = [image.path for image in case.images] + ([case.label] if case.label and settings.labelled else [])
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.exists()]
    volumes = [image.volume for image in case.images]
    record = {"files": stats, "volumes": volumes, "spacing_mm": settings.record()["spacing_mm"], "format": FORMAT}
    return hashlib.sha256(json.dumps(record | settings.background_record).encode()).hexdigest()


def check_cohort(folder: Path, discovery: Discovery, settings: CohortSettings, *, workers: int) -> CohortCheck:
    """Check every case that is not prepared yet; prepared ones were checked when they were.

    Cases that an older version has prepared, which knew copies by their files alone, are checked again.
    """
    ready = _ready_entries(folder, discovery.cases, settings, workers=workers)
    known = {case.id: check for case in discovery.cases if (check := _check_of(case, ready.get(case.id)))}
    waiting = [case for case in discovery.cases if case.id not in known]
    job = partial(check_case, convention=settings.convention, background=settings.background)
    for case, check in zip(
        waiting, run_parallel(job, waiting, workers=workers, description=f"checking {settings.cohort}"), strict=True
    ):
        known[case.id] = check
    checks = {case.id: known[case.id] for case in discovery.cases}
    found = [finding for check in checks.values() for finding in check.findings]
    begun = CohortCheck((), discovery.cases, frozenset(ready), checks).with_findings([*discovery.problems, *found])
    copies = [
        Problem(case_id, "", f"has the images of {original}: one patient would count twice", "remove one of the two")
        for case_id, original in find_copies(begun.identities).items()
    ]
    return begun.with_findings(copies)


def settle_convention(settings: CohortSettings, evidence: Sequence[CaseEvidence]) -> LabelConvention | None:
    """Detect the cohort's label convention, or check the one that is set, against the labels of all its cases.

    Raises:
        PedsegError: the labels speak for none, for several, or against the one that is set.
    """
    if not settings.labelled or not evidence:
        return settings.convention
    gathered = gather_evidence(settings.cohort, evidence)
    convention = settings.convention or detect_convention(gathered)
    check_convention(gathered, convention)
    if len(evidence) > 1 and len(gathered.values) == 1:
        logger.warning(
            "cohort %s: no other label than %d occurs in %d cases; it is read as in %s, not as the whole tumour. %s",
            settings.cohort, *gathered.values, len(evidence), convention, EXPECTED,
        )  # fmt: skip
    return convention


def claim_store(folder: Path, settings: CohortSettings, *, overwrite: bool) -> bool:
    """Note the settings in the store, or check that it was made with them; returns whether it had to be emptied.

    Raises:
        PedsegError: it was made with others and `overwrite` is not set.
    """
    note = folder / SETTINGS
    record = settings.record()
    before = _settings_before(folder)
    other = before is not None and before != record
    if other:
        if not overwrite:
            raise PedsegError(
                f"{folder} was prepared with other settings: {before}, now {record}; "
                "give overwrite=true to prepare it again, or another data.store"
            )
        _clear(folder)
    elif before is None:
        _refuse_foreign_folder(folder)
    write_json(note, sealed(record))
    return other


def _settings_before(folder: Path) -> dict[str, Any] | None:
    """Settings that a store was made with, from the note of them or else from its index; None where there is neither.

    Where both are damaged they are empty, and like no others.
    """
    notes = [folder / name for name in (SETTINGS, INDEX) if (folder / name).exists()]
    for note in notes:
        try:
            found = read_sealed(note)
            return {key: value for key, value in dict(found).items() if key not in BESIDE_SETTINGS}
        except (PedsegError, TypeError, ValueError) as error:
            logger.warning("%s is damaged (%s)", note, error)
    return {} if notes else None


def _refuse_foreign_folder(folder: Path) -> None:
    """Refuse a folder that has content and is no store.

    Raises:
        PedsegError: it is such a one.
    """
    if content := foreign(folder):
        raise PedsegError(
            f"{folder} is no store: it holds {listing(content)} and no {SETTINGS}; give another data.store, or move it "
            "away"
        )


def _clear(folder: Path) -> None:
    """Remove what preparation has written; what else there is stays, and is named."""
    cases = [path.parent.relative_to(folder).as_posix() for path in folder.glob(f"{CASES}/*/{ENTRY}")]
    clear(folder, also=[INDEX, SETTINGS, *(f"{case}/{name}" for case in cases for name in OF_A_CASE)])
    name_left(folder)


def prepare_cohort(
    folder: Path, check: CohortCheck, settings: CohortSettings, *, input_folder: Path, workers: int
) -> int:
    """Prepare the usable cases that are not ready, then write the index; returns how many were prepared.

    Prepared cases that are not among the usable ones any more are named in a warning. They leave the index, and their
    arrays stay for the day their files are back.
    """
    waiting = [case for case in check.usable if case.id not in check.ready]
    _name_absent(folder / CASES, {case.id for case in check.usable}, input_folder)
    if waiting:
        (folder / INDEX).unlink(missing_ok=True)
    job = partial(_prepare_case, folder=folder, settings=settings)
    items = [(case, check.checks[case.id]) for case in waiting]
    for _ in run_parallel(job, items, workers=workers, description=f"preparing {settings.cohort}"):
        pass
    cases = {c.id: _entry(folder, c, check.checks[c.id]) | {"patient": c.patient} for c in check.usable}
    index = {**settings.record(), "cohort": settings.cohort, "input_folder": str(input_folder), "cases": cases}
    write_json(folder / INDEX, sealed(index))
    return len(waiting)


def _prepare_case(item: tuple[Case, CaseCheck], *, folder: Path, settings: CohortSettings) -> None:
    """Prepare one checked case into a folder that appears whole or not at all."""
    case, check = item
    key = key_of(case, settings)
    images = read_checked(case, background=settings.background)
    prepared = prepare_image(images.volumes, spacing_mm=settings.spacing_mm, background=settings.background)
    final = _case_folder(folder, case)
    staging = temporary_of(final)
    staging.mkdir(parents=True)
    try:
        write_array(staging / IMAGE, pack_image(prepared.raw, prepared.brain))
        counts: list[int] = []
        if settings.labelled and case.label and settings.convention:
            regions = prepare_label(read_label_onto(case.label, images.volumes[0]), prepared, settings.convention)
            voxels = sample_foreground(regions, case.id)
            counts = [len(v) for v in voxels]
            write_array(staging / LABEL, pack_regions(regions))
            np.save(staging / FOREGROUND, np.concatenate(voxels))
        entry = {
            "folder": final.name,
            "patient": case.patient,
            "shape": list(prepared.brain.shape),
            "spacing_mm": list(prepared.spacing_mm),
            "mean": prepared.mean.tolist(),
            "std": prepared.std.tolist(),
            "foreground_counts": counts,
            "key": key,
            **_record_of(check),
        }
        write_entry(staging, entry)
        _put(staging, final)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _name_absent(cases: Path, usable: set[str], input_folder: Path) -> None:
    """Name the prepared cases that cannot be found or used any more."""
    gone = sorted(path.parent.name for path in cases.glob(f"[!.]*/{ENTRY}") if path.parent.name not in usable)
    if gone:
        names = ", ".join(gone[:5]) + (" …" if len(gone) > 5 else "")  # noqa: PLR2004  (as many as fit a line)
        logger.warning("%d prepared cases are not in %s any more, or bad: %s", len(gone), input_folder, names)


def _case_folder(folder: Path, case: Case) -> Path:
    return folder / CASES / safe_name(case.id)


def _put(staging: Path, final: Path) -> None:
    """Let a case's files take the place of those of before; what else lies there stays, and the entry comes last."""
    if not final.exists():
        staging.rename(final)
        return
    try:
        (final / ENTRY).unlink(missing_ok=True)
        for name in (*ARRAYS, ENTRY):
            if (staging / name).exists():
                (staging / name).replace(final / name)
            else:
                (final / name).unlink(missing_ok=True)
    except OSError as error:
        raise PedsegError(f"{error.filename2 or final}: is in the way ({error}); move it away") from error


def _ready_entries(
    folder: Path, cases: Sequence[Case], settings: CohortSettings, *, workers: int
) -> dict[str, dict[str, Any]]:
    """Entries of the cases that are prepared from these very files with these settings, and undamaged."""
    begun = [case for case in cases if (_case_folder(folder, case) / ENTRY).exists()]
    wanted = [(_case_folder(folder, case), key_of(case, settings)) for case in begun]
    job = partial(ready_entry, labelled=settings.labelled)
    found = list(run_parallel(job, wanted, workers=workers, description=f"verifying {settings.cohort}"))
    damaged = [entry for entry in found if isinstance(entry, str)]
    if damaged:
        logger.warning("%d prepared cases are damaged and are made again: %s", len(damaged), "; ".join(damaged[:5]))
    return {case.id: entry for case, entry in zip(begun, found, strict=True) if isinstance(entry, dict)}


def _entry(folder: Path, case: Case, check: CaseCheck) -> dict[str, Any]:
    """Entry of a prepared case; one of an older version gets the digests that it lacks."""
    place = _case_folder(folder, case)
    entry: dict[str, Any] = read_sealed(place / ENTRY)
    if DIGESTS in entry and FILES in entry:
        return entry
    known = {} if DIGESTS in entry else _record_of(check)
    return write_entry(place, {key: value for key, value in entry.items() if key != BY_FILES} | known)


def _record_of(check: CaseCheck) -> dict[str, Any]:
    """What the check of a case leaves in its entry."""
    evidence = check.evidence
    return {
        DIGESTS: list(check.identity.digests),
        "axes": check.axes,
        "remarks": [[row.file, row.what, row.fix, row.severity] for row in check.findings],
        "evidence": evidence and {"voxels": evidence.voxels, "enhancement": evidence.enhancement},
    }


def _check_of(case: Case, entry: Mapping[str, Any] | None) -> CaseCheck | None:
    """What the check of a prepared case has shown; None if it is not known as it would be now."""
    if entry is None or DIGESTS not in entry:
        return None
    remarks = tuple(
        Problem(case.id, file, what, fix, Severity(severity)) for file, what, fix, severity in entry["remarks"]
    )
    identity = Identity(case.id, case.patient, tuple(entry[DIGESTS]))
    return CaseCheck(identity, remarks, _evidence(entry), entry["axes"])


def _evidence(entry: Mapping[str, Any]) -> CaseEvidence | None:
    stored = entry["evidence"]
    if stored is None:
        return None
    return CaseEvidence(*({int(k): v for k, v in stored[name].items()} for name in ("voxels", "enhancement")))
