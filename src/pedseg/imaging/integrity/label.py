"""What is looked for in a label, and what it tells of its convention."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.errors import PedsegError, Severity
from pedseg.imaging.brain import find_brain, inside, inside_any
from pedseg.imaging.geometry import same_grid
from pedseg.imaging.integrity.findings import Findings, split_message
from pedseg.imaging.integrity.grids import MODALITIES, Volumes, label_onto, note_turn
from pedseg.imaging.integrity.lesion import check_lesion
from pedseg.imaging.nifti import Volume, read_volume
from pedseg.labels import CaseEvidence, LabelConvention, Modality, measure_labels

OUTSIDE_PROBLEM = 0.05  # share of the tumour's voxels outside the brain
OUTSIDE_NOTE = 0.001


def check_label(
    findings: Findings,
    volumes: Volumes,
    grid: int,
    convention: LabelConvention | None,
    background: float | None,
) -> CaseEvidence | None:
    """Check the label of a case whose images are on one grid; what it tells of its convention, if it can be used."""
    path, before = findings.case.label, findings.problems()
    assert path is not None  # noqa: S101  (asked for labelled cases only)
    label = _read_label(findings, path, volumes[MODALITIES[grid]], findings.case.images[grid].path.name)
    if label is None:
        return None
    tumour = label != 0
    _check_values(findings, path.name, label[tumour], convention)
    images = [volume.data for volume in volumes.values() if volume is not None]
    if before == 0 and all(image.shape == label.shape for image in images):
        known = tumour & ~np.isin(label, convention.ignore) if convention and convention.ignore else tumour
        _check_place(findings, path.name, known, images, background)
        if findings.problems() == before and known.any() and not any(file.absent for file in findings.case.images):
            check_lesion(findings, path.name, known, volumes, background)
    t1n, t1c = volumes[Modality.T1N], volumes[Modality.T1C]
    if findings.problems() > before or t1n is None or t1c is None or {t1n.data.shape, t1c.data.shape} != {label.shape}:
        return None
    scores = (_z_scores(image.data, tumour, background) for image in (t1c, t1n))
    return measure_labels(label[tumour], next(scores) - next(scores))


def _read_label(findings: Findings, path: Path, grid: Volume | None, reference: str) -> NDArray[np.integer] | None:
    """The label in the order of the grid of the images."""
    try:
        stored = read_volume(path)
        label = label_onto(stored, path, stored if grid is None else grid, reference)
    except PedsegError as error:
        findings.add(path.name, *split_message(error, str(path)))
        return None
    if grid is not None and not same_grid(stored, grid):
        note_turn(findings, path.name, stored, reference, grid)
    return label


def _check_values(
    findings: Findings, name: str, tumour: NDArray[np.integer], convention: LabelConvention | None
) -> None:
    foreign = sorted(set(np.unique(tumour).tolist()) - convention.values) if convention else []
    if foreign:
        values = ", ".join(map(str, foreign))
        fix = "correct the label, or set the cohort's convention"
        findings.add(name, f"holds label {values}, which {convention} lacks", fix)
    if not len(tumour):
        findings.add(name, "holds no tumour at all", "restore the label, or leave the case out")


def _check_place(
    findings: Findings,
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
