"""Calibration on folders of cases: of a network that may have been trained elsewhere."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from pedseg.calibration.calibration import Calibration
from pedseg.calibration.counts import Floats, SourceCounts
from pedseg.calibration.sensitivity import Scored
from pedseg.cases import Case, find_cases
from pedseg.errors import PedsegError, Problem
from pedseg.imaging.integrity import check_case
from pedseg.imaging.preprocessing import prepare_labelled_case
from pedseg.inference import Predictor
from pedseg.inference.cases import CASE_ERRORS, problems_of
from pedseg.labels import LabelConvention, Region, detect_convention, gather_evidence, read_convention


def count_target(predictor: Predictor, cases: Sequence[Case], calibration: Calibration) -> list[Problem]:
    """Count every image that can be predicted, and say what went wrong with the others. No label is looked at."""
    problems: list[Problem] = []
    for index, case in enumerate(track(cases, description="calibrating")):
        try:
            prepared = predictor.prepare(case)
            image, brain = torch.from_numpy(prepared.normalised()), torch.from_numpy(prepared.brain)
            with predictor.following(image, brain) as logits:
                calibration.target.count(index, logits)
        except CASE_ERRORS as error:
            problems += problems_of(case, error)
    return problems


def count_source(
    predictor: Predictor,
    cases: Sequence[Case],
    counts: SourceCounts,
    convention: LabelConvention,
    *,
    volumes: Floats | None = None,
    what: str = "calibrating on the source",
) -> list[Problem]:
    """Count every labelled case that can be predicted, and say what went wrong with the others.

    Args:
        predictor: of the network, uncut.
        cases: labelled.
        counts: of as many cases.
        convention: of their labels.
        volumes: (cases, regions) to fill with the voxels of each region.
        what: is done, for the progress bar.
    """
    problems: list[Problem] = []
    for index, case in enumerate(track(cases, description=what)):
        try:
            prepared, masks = prepare_labelled_case(
                case, convention, spacing_mm=predictor.spacing_mm, background=predictor.settings.background
            )
            image, brain = torch.from_numpy(prepared.normalised()), torch.from_numpy(prepared.brain)
            with predictor.following(image, brain) as logits:
                counts.count(index, logits, torch.from_numpy(masks))
            if volumes is not None:
                volumes[index] = masks[: len(Region)].sum((1, 2, 3))
        except CASE_ERRORS as error:
            problems += problems_of(case, error)
    return problems


def score(
    predictor: Predictor, folder: Path, calibration: Calibration, convention: str | None
) -> tuple[Scored, list[Problem]]:
    """Compare labelled cases of the target with their labels, for the curve alone.

    Raises:
        PedsegError: as `labelled_cases`.
    """
    cases, known, problems = labelled_cases(folder, convention)
    counts, volumes = SourceCounts(len(cases), calibration.around), np.zeros((len(cases), len(Region)))
    problems += count_source(predictor, cases, counts, known, volumes=volumes, what="scoring the curve")
    failed = {problem.case for problem in problems}
    kept = [index for index, case in enumerate(cases) if case.id not in failed]
    for part in (counts.inside, counts.outside):
        part.values = part.values[kept]
    return Scored(counts, volumes[kept]), problems


def labelled_cases(folder: Path, convention: str | None) -> tuple[list[Case], LabelConvention, list[Problem]]:
    """Labelled cases of a folder, the convention of their labels, and what is wrong with the others.

    Args:
        folder: in any layout.
        convention: of the labels; None to read it off them.

    Raises:
        PedsegError: there is no such case, or the labels do not tell their convention.
    """
    found = find_cases(folder, cohort=folder.name, labelled=True)
    found.say()
    if not found.cases:
        raise PedsegError(f"{folder}: holds no case with a label; give labelled cases")
    if convention:
        return list(found.cases), read_convention(convention), list(found.problems)
    evidence = [check_case(case, convention=None).evidence for case in track(found.cases, description="reading labels")]
    try:
        known = detect_convention(gather_evidence(folder.name, [one for one in evidence if one]))
    except PedsegError as error:
        raise PedsegError(
            f"{folder}: the labels do not tell which voxel label is which; say it, such as --convention brats2023"
        ) from error
    return list(found.cases), known, list(found.problems)
