"""The folds of cohorts as a file that nnU-Net reads; ``folds=FILE`` reads such files."""

from collections.abc import Sequence
from pathlib import Path

from pedseg.cases import find_cases
from pedseg.errors import PedsegError
from pedseg.files import check_free
from pedseg.folds import Fold, Grouping, make_folds, write_nnunet_splits


def export_splits(cohorts: Sequence[Path], output: Path, *, grouping: Grouping, overwrite: bool = False) -> None:
    """Write the folds that training makes of these cohorts as nnU-Net's ``splits_final.json``.

    Each cohort is split apart, as in training, and the k-th parts of all are put together. Only names of image files
    are read; labels are not looked for.

    Raises:
        PedsegError: the output exists, a cohort has no cases or too few, or two cohorts share an id.
    """
    check_free(output, overwrite=overwrite)
    ids = [[case.id for case in find_cases(folder, cohort=folder.name, labelled=False).cases] for folder in cohorts]
    for index, folder in enumerate(cohorts):
        shared = set(ids[index]).intersection(*[set().union(*ids[:index])])
        if shared:
            raise PedsegError(f"{folder}: {min(shared)} is a case of another cohort too; give each case one id")
    parts = zip(*(make_folds(cohort, grouping=grouping) for cohort in ids), strict=True)
    write_nnunet_splits(output, [_joined(folds) for folds in parts])


def _joined(folds: Sequence[Fold]) -> Fold:
    return Fold(
        train=tuple(case for fold in folds for case in fold.train),
        validation=tuple(case for fold in folds for case in fold.validation),
    )
