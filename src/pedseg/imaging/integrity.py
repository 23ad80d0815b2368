"""Whether the images of a case, and its label, can be used: asked wherever they are read, before anything is computed.

Everything is asked of what the files hold, in one place: `read_checked` for whoever reads images, `check_case` for a
whole cohort, labels included.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.cases import Case, ImageFile
from pedseg.errors import PedsegError, Problem, ProblemsError, Severity
from pedseg.imaging.brain import find_brain, inside, inside_any, value_around
from pedseg.imaging.copies import Identity, voxel_digest
from pedseg.imaging.geometry import axes_of, onto, same_grid, shift_mm
from pedseg.imaging.nifti import Volume, decode, extract_volume, integer_label, read_bytes, read_volume
from pedseg.labels import CaseEvidence, LabelConvention, Modality, measure_labels

MODALITIES = tuple(Modality)
SPACING_TOLERANCE_MM = 1e-2
WHOLE = 0.95  # of the volume; a brain in a box that fits it closely takes 0.6
SAMPLE = (slice(None, None, 4),) * 3  # of voxels, where a share is guessed before it is counted
OUTSIDE_PROBLEM = 0.05  # share of the tumour's voxels outside the brain
OUTSIDE_NOTE = 0.001


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
    """

    identity: Identity
    findings: tuple[Problem, ...] = ()
    evidence: CaseEvidence | None = None
    axes: str = ""

    @property
    def usable(self) -> bool:
        """Whether there is no problem."""
        return not any(finding.severity is Severity.PROBLEM for finding in self.findings)


@dataclass(slots=True)
class _Findings:
    case: Case
    rows: list[Problem] = field(default_factory=list)

    def add(self, file: str, what: str, fix: str, severity: Severity = Severity.PROBLEM) -> None:
        self.rows.append(Problem(self.case.id, file, what, fix, severity))

    def problems(self) -> int:
        return sum(row.severity is Severity.PROBLEM for row in self.rows)


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
    findings = _Findings(case)
    volumes, grid = _gather(findings, background)
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
    findings = _Findings(case)
    volumes, grid = _gather(findings, background)
    evidence = _check_label(findings, volumes, grid, convention, background) if case.label else None
    there = [volumes[m] for m, file in zip(MODALITIES, case.images, strict=True) if not file.absent]
    digests = tuple(voxel_digest(volume.data) for volume in there if volume is not None)
    base = volumes[MODALITIES[grid]]
    axes = axes_of(base.affine) if base is not None else ""
    return CaseCheck(Identity(case.id, case.patient, digests), tuple(findings.rows), evidence, axes)


def read_label_onto(path: Path, grid: Volume) -> NDArray[np.integer]:
    """Read a label map (Z, Y, X) in the order of the voxels of `grid`.

    Raises:
        PedsegError: it cannot be read, is no label map, or lies on another grid.
    """
    return _label_onto(read_volume(path), path, grid, "its images")


def _label_onto(stored: Volume, path: Path, grid: Volume, reference: str) -> NDArray[np.integer]:
    turned = onto(stored, grid)
    if turned is None:
        raise PedsegError(f"{path}: {_difference(stored, grid, reference)}; register it to the grid of {reference}")
    return integer_label(turned.data, path)


def _gather(findings: _Findings, background: float | None) -> tuple[Mapping[Modality, Volume | None], int]:
    """Read and check all images of a case; those that lie on one grid are in one order then."""
    files = dict(zip(MODALITIES, findings.case.images, strict=True))
    read = dict(_read(findings, files))
    for modality, file in files.items():
        _check_voxels(findings, file, modality, read[modality], background)
    _check_placed(findings, files, read)
    grid = _common_grid(read)
    aligned = dict(_align(findings, files, read, grid))
    if findings.problems() == 0:
        _check_twins(findings, files, aligned)
        _check_background(findings, [v for m, v in aligned.items() if v and not files[m].absent], background)
        aligned = {m: _emptied(v, files[m], background) for m, v in aligned.items()}
    return aligned, MODALITIES.index(grid)


def _read(findings: _Findings, files: Mapping[Modality, ImageFile]) -> Iterator[tuple[Modality, Volume | None]]:
    """Read each file once, and take the volumes out of it."""
    images: dict[Path, Any] = {}
    for modality, file in files.items():
        try:
            if file.path not in images:
                images[file.path] = None
                images[file.path] = decode(read_bytes(file.path), file.path)
            volume = None if images[file.path] is None else extract_volume(images[file.path], file)
        except PedsegError as error:
            findings.add(file.path.name, *split_message(error, str(file.path)))
            volume = None
        yield modality, volume


def split_message(error: PedsegError, path: str) -> tuple[str, str]:
    """Divide the message of a reader into what is wrong and what to do."""
    what, _, fix = str(error).removeprefix(f"{path}: ").rpartition("; ")
    return (what, fix) if what else (fix, "export the file again")


def _check_voxels(
    findings: _Findings, file: ImageFile, modality: Modality, volume: Volume | None, background: float | None
) -> None:
    if volume is None or file.absent:
        return
    name, data = file.path.name, volume.data
    if data.dtype.kind == "f" and (count := int(data.size - np.isfinite(data).sum())):
        findings.add(name, f"{count} voxels are NaN or infinite", "export the image again, or set them to 0")
        return
    fix = "export the image again; or, for a sequence that was not taken, remove the file (predict --allow-missing)"
    least, most = data.min(), data.max()
    if least == most:
        findings.add(name, f"every voxel of {modality} is {least:g}", fix)
    elif background is not None and most <= background:
        findings.add(name, f"no voxel of {modality} is above the background {background:g}", "lower the background")
    elif _constant_inside(data[SAMPLE], background) and _constant_inside(data, background):
        findings.add(name, f"{modality} has one value wherever it is not background: a mask, no image", fix)


def _constant_inside(data: NDArray[Any], background: float | None) -> bool:
    values = data[inside(data, background)]
    return not len(values) or bool(values.min() == values.max())


def _common_grid(read: Mapping[Modality, Volume | None]) -> Modality:
    """The first of those images whose grid, as it is stored, most images have."""
    volumes = {modality: volume for modality, volume in read.items() if volume is not None}
    if not volumes:
        return MODALITIES[0]
    return max(volumes, key=lambda one: sum(same_grid(other, volumes[one]) for other in volumes.values()))


def _align(
    findings: _Findings, files: Mapping[Modality, ImageFile], read: Mapping[Modality, Volume | None], common: Modality
) -> Iterator[tuple[Modality, Volume | None]]:
    """Bring each image to the order of the common grid; those that have other voxels stay, and are told."""
    grid, reference = read[common], files[common].path.name
    for modality, volume in read.items():
        turned = None if volume is None or grid is None else onto(volume, grid)
        if volume is not None and grid is not None:
            if turned is None:
                what, fix = _difference(volume, grid, reference), f"register it to the grid of {reference}"
                findings.add(files[modality].path.name, what, fix)
            elif turned is not volume:
                _note_turn(findings, files[modality].path.name, volume, f"{reference}", grid)
        yield modality, turned or volume


def _note_turn(findings: _Findings, name: str, volume: Volume, reference: str, grid: Volume) -> None:
    what = f"is stored in {axes_of(volume.affine)} axes, {reference} in {axes_of(grid.affine)}"
    findings.add(name, what, "it is turned to the same axes, voxel by voxel", Severity.NOTE)


def _difference(volume: Volume, grid: Volume, reference: str) -> str:
    """Say how two grids differ, in x, y, z."""
    if volume.data.shape != grid.data.shape:
        return f"has shape {volume.data.shape[::-1]}, {reference} {grid.data.shape[::-1]}"
    if not np.allclose(volume.spacing_mm, grid.spacing_mm, rtol=0, atol=SPACING_TOLERANCE_MM):
        return f"has voxels of {_mm(volume.spacing_mm)}, {reference} {_mm(grid.spacing_mm)} mm"
    return f"has another affine than {reference}: voxels lie up to {shift_mm(volume, grid):.3g} mm apart"


def _check_twins(
    findings: _Findings, files: Mapping[Modality, ImageFile], volumes: Mapping[Modality, Volume | None]
) -> None:
    """Two modalities with the same voxels are one image under two names."""
    there = [(modality, volume) for modality, volume in volumes.items() if volume and not files[modality].absent]
    for (first, one), (second, other) in combinations(there, 2):
        middle = len(one.data) // 2
        if np.array_equal(one.data[middle], other.data[middle]) and np.array_equal(one.data, other.data):
            name = f"{files[first].path.name}, {files[second].path.name}"
            fix = "put the right image in the place of one, or remove the one that was not taken"
            findings.add(name, f"{first} and {second} have the same voxels", fix)


def _check_placed(
    findings: _Findings, files: Mapping[Modality, ImageFile], read: Mapping[Modality, Volume | None]
) -> None:
    """Say which files do not tell where they lie: readers make up different places then."""
    for modality, volume in read.items():
        if volume is not None and not volume.placed:
            what = "says nothing of its place (qform and sform codes are 0), so the usual one is assumed"
            findings.add(files[modality].path.name, what, "export it with its transform", Severity.NOTE)


def _check_background(findings: _Findings, volumes: Sequence[Volume], background: float | None) -> None:
    """Say where nearly all of the volume counts as brain."""
    images = [volume.data for volume in volumes]
    if inside_any([image[SAMPLE] for image in images], background).mean() <= WHOLE:
        return
    share = float(inside_any(images, background).mean())
    around = value_around(images)
    fix = "skull-strip the images, and set to 0 what is background"
    if around is not None and (background is None or around > background):
        fix += f"; or say that values up to {around:g} are (data.cohorts.<name>.background, or --background)"
    findings.add("", f"{share:.0%} of the volume counts as brain", fix, Severity.WARNING)


def _emptied(volume: Volume | None, file: ImageFile, background: float | None) -> Volume | None:
    """An absent sequence is background everywhere, whatever that is."""
    if volume is None or not file.absent or background is None or background >= 0:
        return volume
    return replace(volume, data=np.full(volume.data.shape, background, dtype=np.float32))


def _check_label(
    findings: _Findings,
    volumes: Mapping[Modality, Volume | None],
    grid: int,
    convention: LabelConvention | None,
    background: float | None,
) -> CaseEvidence | None:
    path, before = findings.case.label, findings.problems()
    assert path is not None  # noqa: S101  (asked for labelled cases only)
    label = _read_label(findings, path, volumes[MODALITIES[grid]], findings.case.images[grid].path.name)
    if label is None:
        return None
    tumour = label != 0
    _check_values(findings, path.name, label[tumour], convention)
    images = [volume.data for volume in volumes.values() if volume is not None]
    if before == 0 and all(image.shape == label.shape for image in images):
        _check_place(findings, path.name, tumour, images, background)
    t1n, t1c = volumes[Modality.T1N], volumes[Modality.T1C]
    if findings.problems() > before or t1n is None or t1c is None or {t1n.data.shape, t1c.data.shape} != {label.shape}:
        return None
    scores = (_z_scores(image.data, tumour, background) for image in (t1c, t1n))
    return measure_labels(label[tumour], next(scores) - next(scores))


def _read_label(findings: _Findings, path: Path, grid: Volume | None, reference: str) -> NDArray[np.integer] | None:
    """The label in the order of the grid of the images."""
    try:
        stored = read_volume(path)
        label = _label_onto(stored, path, stored if grid is None else grid, reference)
    except PedsegError as error:
        findings.add(path.name, *split_message(error, str(path)))
        return None
    if grid is not None and not same_grid(stored, grid):
        _note_turn(findings, path.name, stored, reference, grid)
    return label


def _check_values(
    findings: _Findings, name: str, tumour: NDArray[np.integer], convention: LabelConvention | None
) -> None:
    foreign = sorted(set(np.unique(tumour).tolist()) - convention.values) if convention else []
    if foreign:
        values = ", ".join(map(str, foreign))
        fix = "correct the label, or set the cohort's convention"
        findings.add(name, f"holds label {values}, which {convention} lacks", fix)
    if not len(tumour):
        findings.add(name, "holds no tumour at all", "restore the label, or leave the case out")


def _check_place(
    findings: _Findings,
    name: str,
    tumour: NDArray[np.bool_],
    images: Sequence[NDArray[Any]],
    background: float | None,
) -> None:
    """Tumour lies in the brain; holes in it, such as necrosis of value 0, belong to it."""
    total = np.count_nonzero(tumour)
    if not total or np.count_nonzero(tumour & ~inside_any(images, background)) <= OUTSIDE_NOTE * total:
        return
    box, brain = find_brain(images, background)
    outside = total - np.count_nonzero(tumour[box] & brain)
    if outside <= OUTSIDE_NOTE * total:
        return
    what = f"{outside / total:.1%} of its tumour ({outside} of {total} voxels) lies outside the brain"
    if outside > OUTSIDE_PROBLEM * total:
        findings.add(name, what, "see whether label and images are of one case and in the same axes; export it again")
    else:
        findings.add(name, what, "look at the label", Severity.NOTE)


def _z_scores(data: NDArray[np.generic], where: NDArray[np.bool_], background: float | None) -> NDArray[np.float32]:
    """z-scores, by mean and deviation of what is not background, of the voxels in `where`."""
    brain = data[inside(data, background)].astype(np.float32)
    if not len(brain):
        return np.zeros(np.count_nonzero(where), dtype=np.float32)
    scored: NDArray[np.float32] = (data[where].astype(np.float32) - brain.mean()) / max(float(brain.std()), 1e-8)
    return scored


def _mm(spacing: Sequence[float]) -> str:
    return " × ".join(f"{s:g}" for s in spacing[::-1])
