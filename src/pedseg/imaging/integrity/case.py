"""Whether the images of a case, and its label, can be used: asked wherever they are read, before anything is computed.

Everything is asked of what the files hold, in one place: `read_checked` for whoever reads images, `check_case` for a
whole cohort, labels included.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pedseg.cases import Case
from pedseg.errors import Problem, ProblemsError, Severity
from pedseg.imaging.copies import Identity, voxel_digest
from pedseg.imaging.geometry import axes_of
from pedseg.imaging.integrity.contrast import check_exchanged, measure_contrasts
from pedseg.imaging.integrity.findings import Findings
from pedseg.imaging.integrity.gathering import gather
from pedseg.imaging.integrity.grids import MODALITIES
from pedseg.imaging.integrity.label import check_label
from pedseg.imaging.nifti import Volume
from pedseg.labels import CaseEvidence, LabelConvention


@dataclass(frozen=True, slots=True)
class CaseImages:
    """The images of a case, voxel upon voxel.

    Attributes:
        volumes: of each modality, on one grid; zeros for a sequence that is absent.
        grid: index of the image whose file has that grid; others may be stored in other axes.
        remarks: what is worth saying and keeps the case from nothing.
    """

    volumes: tuple[Volume, ...]
    grid: int
    remarks: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class CaseCheck:
    """What reading a case has shown.

    Attributes:
        identity: what the case is known by.
        findings: problems, warnings and notes.
        evidence: what its label tells about the label convention; None without a label.
        axes: in which the grid is stored, such as LPS.
        contrasts: `measure_contrasts` of its images; empty where they cannot be used.
    """

    identity: Identity
    findings: tuple[Problem, ...] = ()
    evidence: CaseEvidence | None = None
    axes: str = ""
    contrasts: Mapping[str, float] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether there is no problem."""
        return not any(finding.severity is Severity.PROBLEM for finding in self.findings)


def read_checked(case: Case, *, background: float | None = None) -> CaseImages:
    """Read the images of a case onto one grid, once it is sure that they can be used.

    Images whose voxels are those of the others, stored in other axes, are turned, which changes no value. The grid is
    the one that most images have; of several, that of the first.

    Args:
        case: the case; its label is not looked at.
        background: value at or below which voxels are background; None: those that are 0.

    Raises:
        ProblemsError: a file is unreadable or truncated; images lie on different grids; voxels are NaN or infinite; an
            image is constant, or has the voxels of another one.
    """
    findings = Findings(case)
    volumes, grid = gather(findings, background)
    if not findings.problems():
        check_exchanged(findings, measure_contrasts(volumes, findings.files, background))
    problems = [row for row in findings.rows if row.severity is Severity.PROBLEM]
    if problems:
        raise ProblemsError(f"{case.id}: its images cannot be used:", problems)
    return CaseImages(tuple(volume for volume in volumes.values() if volume is not None), grid, tuple(findings.rows))


def check_case(case: Case, *, convention: LabelConvention | None, background: float | None = None) -> CaseCheck:
    """Read every file of a case and check it.

    Looked for beside what `read_checked` refuses: a label on another grid, with fractions, without tumour, with labels
    that `convention` lacks, or outside the brain.

    Args:
        case: the case; its label is read only if it has one.
        convention: the cohort's; None to take the labels as they come.
        background: as of `read_checked`.
    """
    findings = Findings(case)
    volumes, grid = gather(findings, background)
    contrasts = {} if findings.problems() else measure_contrasts(volumes, findings.files, background)
    evidence = check_label(findings, volumes, grid, convention, background) if case.label else None
    there = [volumes[m] for m, file in zip(MODALITIES, case.images, strict=True) if not file.absent]
    digests = tuple(voxel_digest(volume.data) for volume in there if volume is not None)
    base = volumes[MODALITIES[grid]]
    axes = axes_of(base.affine) if base is not None else ""
    return CaseCheck(Identity(case.id, case.patient, digests), tuple(findings.rows), evidence, axes, contrasts)
