"""The folds of cohorts as a file that nnU-Net reads; ``folds=FILE`` reads such files."""

import logging
from collections.abc import Sequence
from pathlib import Path

from pedseg.cases import Patients, find_cases
from pedseg.errors import PedsegError
from pedseg.files import check_free
from pedseg.folds import Fold, Grouping, make_folds, write_nnunet_splits

logger = logging.getLogger(__name__)


def export_splits(
    cohorts: Sequence[Path], output: Path, *, grouping: Grouping, patients: str | None = None, overwrite: bool = False
) -> None:
    """Write the folds that training makes of these cohorts as nnU-Net's ``splits_final.json``.

    Each cohort is split apart, as in training, and the k-th parts of all are put together. Only names of image files
    are read; labels are not looked for.

    Args:
        cohorts: folders or lists of cases.
        output: file to write.
        grouping: what folds keep together.
        patients: whose the cases are, as ``folds.patients`` says it.
        overwrite: whether a file that is there is replaced.

    Raises:
        PedsegError: the output exists, a cohort has no cases or too few, two cohorts share an id, or what is said of
            patients cannot be read or is of a part of a cohort.
    """
    check_free(output, overwrite=overwrite)
    said = Patients.read(patients)
    known = [_patients(folder) for folder in cohorts]
    ids = [list(cases) for cases in known]
    for index, folder in enumerate(cohorts):
        shared = set(ids[index]).intersection(*[set().union(*ids[:index])])
        if shared:
            raise PedsegError(f"{folder}: {min(shared)} is a case of another cohort too; give each case one id")
    names = [str(folder) for folder in cohorts]
    whose = said.of(dict(zip(names, ids, strict=True)), dict(zip(names, known, strict=True)))
    folds = (make_folds(list(cases), grouping=grouping, patients=cases) for cases in whose.values())
    parts = zip(*folds, strict=True)
    write_nnunet_splits(output, [_joined(folds) for folds in parts])


def _patients(folder: Path) -> dict[str, str]:
    """Patient of each complete case of a cohort; the others are left out, and said."""
    found = find_cases(folder, cohort=folder.stem, labelled=False)
    for problem in found.problems:
        logger.warning("%s is left out: %s", folder, problem)
    return {case.id: case.patient for case in found.cases}


def _joined(folds: Sequence[Fold]) -> Fold:
    return Fold(
        train=tuple(case for fold in folds for case in fold.train),
        validation=tuple(case for fold in folds for case in fold.validation),
    )
