"""Whether the files of a case can be used, before anything is computed from them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pedseg.cases import Case, ImageFile
from pedseg.errors import PedsegError, Problem
from pedseg.imaging.nifti import Volume, decode, extract_volume, integer_label, read_bytes
from pedseg.labels import CaseEvidence, LabelConvention, Modality, measure_labels

MODALITIES = tuple(Modality)
AFFINE_TOLERANCE_MM = 1e-2  # headers of one session may differ in the last digits


@dataclass(frozen=True, slots=True)
class CaseCheck:
    """What reading a case has shown.

    Attributes:
        case_id: of the case.
        problems: what is wrong; empty for a case that can be used.
        evidence: what its label tells about the label convention; None without a label.
        fingerprint: hash of the decoded image files, to find one case under two ids.
    """

    case_id: str
    problems: tuple[Problem, ...] = ()
    evidence: CaseEvidence | None = None
    fingerprint: str = ""


@dataclass(slots=True)
class _Findings:
    case: Case
    problems: list[Problem] = field(default_factory=list)

    def add(self, file: str, what: str, fix: str) -> None:
        self.problems.append(Problem(self.case.id, file, what, fix))


def check_case(case: Case, *, convention: LabelConvention | None) -> CaseCheck:
    """Read every file of a case and check it.

    Looked for: unreadable and truncated files; modalities (and a label) on different grids; NaN or infinite voxels; an
    image that is 0 everywhere; a label map with fractions, without tumour, or with labels that `convention` lacks.

    Args:
        case: the case; its label is read only if it has one.
        convention: the cohort's; None to take the labels as they come.
    """
    findings = _Findings(case)
    digest = hashlib.blake2b(digest_size=16)
    volumes: list[Volume | None] = []
    for modality, file in zip(Modality, case.images, strict=True):
        try:
            raw = read_bytes(file.path)
            digest.update(hashlib.blake2b(raw).digest())
            volumes.append(extract_volume(decode(raw, file.path), file))
        except PedsegError as error:
            findings.add(file.path.name, *_split(error, str(file.path)))
            volumes.append(None)
            continue
        _check_voxels(findings, file.path.name, modality, volumes[-1])
    read = [(file.path.name, volume) for file, volume in zip(case.images, volumes, strict=True) if volume is not None]
    for name, volume in read[1:]:
        _check_grid(findings, name, volume, *read[0])
    evidence = _check_label(findings, volumes, read, convention) if case.label else None
    return CaseCheck(case.id, tuple(findings.problems), evidence, digest.hexdigest())


def find_copies(checks: Sequence[CaseCheck]) -> list[Problem]:
    """Report cases whose image files are those of an earlier case."""
    first: dict[str, str] = {}
    problems = []
    for check in checks:
        if check.problems:
            continue
        original = first.setdefault(check.fingerprint, check.case_id)
        if original != check.case_id:
            what = f"has the same image files as {original}, so one patient would count twice"
            problems.append(Problem(check.case_id, "", what, "remove one of the two"))
    return problems


def _split(error: PedsegError, path: str) -> tuple[str, str]:
    """Divide the message of a reader into what is wrong and what to do."""
    what, _, fix = str(error).removeprefix(f"{path}: ").rpartition("; ")
    return (what, fix) if what else (fix, "export the file again")


def _check_voxels(findings: _Findings, name: str, modality: Modality, volume: Volume | None) -> None:
    if volume is None:
        return
    if volume.data.dtype.kind == "f" and not np.isfinite(volume.data).all():
        count = int((~np.isfinite(volume.data)).sum())
        findings.add(name, f"{count} voxels are NaN or infinite", "export the image again, or set them to 0")
    elif not volume.data.any():
        findings.add(name, f"every voxel of {modality} is 0", "export the image again, or leave the case out")


def _check_grid(findings: _Findings, name: str, volume: Volume, reference: str, expected: Volume) -> None:
    fix = f"register it to the grid of {reference}"
    if volume.data.shape != expected.data.shape:
        shapes = f"{volume.data.shape[::-1]}, {reference} {expected.data.shape[::-1]}"
        findings.add(name, f"has shape {shapes}", fix)
    elif not np.allclose(volume.spacing_mm, expected.spacing_mm, rtol=0, atol=AFFINE_TOLERANCE_MM):
        spacings = f"{_mm(volume.spacing_mm)}, {reference} {_mm(expected.spacing_mm)}"
        findings.add(name, f"has voxels of {spacings} mm", fix)
    elif not np.allclose(volume.affine, expected.affine, rtol=0, atol=AFFINE_TOLERANCE_MM):
        worst = float(np.abs(volume.affine - expected.affine).max())
        findings.add(name, f"has another affine than {reference} (differs by {worst:.3g})", fix)


def _check_label(
    findings: _Findings,
    volumes: Sequence[Volume | None],
    read: Sequence[tuple[str, Volume]],
    convention: LabelConvention | None,
) -> CaseEvidence | None:
    path = findings.case.label
    assert path is not None  # noqa: S101  (asked for labelled cases only)
    try:
        volume = extract_volume(decode(read_bytes(path), path), ImageFile(path))
        label = integer_label(volume.data, path)
    except PedsegError as error:
        findings.add(path.name, *_split(error, str(path)))
        return None
    before = len(findings.problems)
    if read:
        _check_grid(findings, path.name, volume, *read[0])
    tumour = label != 0
    foreign = sorted(set(np.unique(label[tumour]).tolist()) - convention.values) if convention else []
    if foreign:
        values = ", ".join(map(str, foreign))
        fix = "correct the label, or set the cohort's convention"
        findings.add(path.name, f"holds label {values}, which {convention} lacks", fix)
    if not tumour.any():
        findings.add(path.name, "holds no tumour at all", "restore the label, or leave the case out")
    t1n, t1c = volumes[MODALITIES.index(Modality.T1N)], volumes[MODALITIES.index(Modality.T1C)]
    if len(findings.problems) > before or t1n is None or t1c is None or t1n.data.shape != label.shape:
        return None
    return measure_labels(label[tumour], _z_scores(t1c.data, tumour) - _z_scores(t1n.data, tumour))


def _z_scores(data: NDArray[np.generic], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """z-scores, by mean and deviation of what is not 0, of the voxels in `where`."""
    brain = data[data != 0].astype(np.float32)
    if not len(brain):
        return np.zeros(np.count_nonzero(where), dtype=np.float32)
    scored: NDArray[np.float32] = (data[where].astype(np.float32) - brain.mean()) / max(float(brain.std()), 1e-8)
    return scored


def _mm(spacing: Sequence[float]) -> str:
    return " × ".join(f"{s:g}" for s in spacing[::-1])
