"""Cross-validation folds of a cohort, and nnU-Net's files of them."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pedseg.cases.naming import composed
from pedseg.cases.patients import patient_of, same_text
from pedseg.errors import PedsegError
from pedseg.files import read_json, write_json

Grouping = Literal["published", "patient"]


@dataclass(frozen=True, slots=True)
class Fold:
    """Ids of the cases to train on and of those to validate on, each sorted."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


def make_folds(
    case_ids: Sequence[str],
    *,
    n_folds: int = 5,
    seed: int = 12345,
    grouping: Grouping = "patient",
    patients: Mapping[str, str] | None = None,
) -> list[Fold]:
    """Split the cases of one cohort by scikit-learn's shuffled KFold.

    ``published`` shuffles the sorted case ids, as nnU-Net does (Isensee et al. 2021). Applied to each cohort apart it
    gives the folds that Fu et al. 2024 published, in which 88 adult patients have sessions on both sides. ``patient``
    shuffles the patients, in the order of their first case ids, and keeps the cases of each together: the folds differ
    by one patient at most, and in cases as the repeated sessions fall (243 to 260 of the 1,251 adults). If no patient
    has two cases, both give the same.

    Args:
        case_ids: ids of the cohort, in any order.
        n_folds: number of folds, at least 2.
        seed: of the shuffle.
        grouping: what is kept together.
        patients: case → patient; None where the ids tell.

    Raises:
        PedsegError: an id occurs twice, or there are fewer cases (or patients) than folds.
    """
    if grouping not in ("published", "patient"):
        raise PedsegError(f"folds {grouping!r} are unknown; use 'published' or 'patient'")
    _refuse(_repeated(case_ids), "the cohort holds the same case twice", "give each case an id of its own")
    from sklearn.model_selection import KFold  # noqa: PLC0415  (seven times the import of all else that prepares cases)

    groups: dict[str, list[str]] = {}
    for case in sorted(case_ids):
        groups.setdefault(_person(case, patients) if grouping == "patient" else case, []).append(case)
    units = list(groups.values())
    if not 2 <= n_folds <= len(units):  # noqa: PLR2004  (two parts)
        unit = "patients" if grouping == "patient" else "cases"
        raise PedsegError(
            f"{n_folds} folds of {len(units)} {unit} cannot be made; set between 2 and {len(units)} folds"
        )

    splits = KFold(n_folds, shuffle=True, random_state=seed).split(units)
    return [Fold(_cases(units, train), _cases(units, validation)) for train, validation in splits]


def patient_overlap(fold: Fold, patients: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the patients with cases in both parts of the fold, sorted.

    Args:
        fold: the two parts.
        patients: case → patient; None where the ids tell.
    """
    trained = {_person(case, patients) for case in fold.train}
    both = [case for case in fold.validation if _person(case, patients) in trained]
    return tuple(sorted({_patient(case, patients) for case in both}))


def write_nnunet_splits(path: Path, folds: Iterable[Fold]) -> None:
    """Write folds as nnU-Net's ``splits_final.json``: a list of ``{"train": [...], "val": [...]}``."""
    write_json(path, [{"train": list(fold.train), "val": list(fold.validation)} for fold in folds])


def read_nnunet_splits(path: Path, case_ids: Iterable[str], *, other_ids: Iterable[str] = ()) -> list[Fold]:
    """Read the folds of a cohort from nnU-Net's ``splits_final.json``, which may hold further cohorts.

    Ids of other cohorts are left out: those in `other_ids`, and those whose form (the id without its numbers) no case
    of this cohort has.

    Args:
        path: the file.
        case_ids: the cohort. Each id must be in one part of each fold.
        other_ids: ids that the file may hold besides, needed only where cohorts name their cases alike.

    Raises:
        PedsegError: the file has another structure; an id is unknown, is in both parts of a fold or twice in one; a
            case of the cohort is missing from a fold.
    """
    content = read_json(path)
    if not isinstance(content, list) or not content or not all(map(_is_fold, content)):
        raise PedsegError(
            f"{path}: not a file of nnU-Net splits, which is a list of {{'train': [ids], 'val': [ids]}}; "
            "give such a file, or let the folds be made"
        )
    known, others = set(case_ids), set(other_ids)
    return [_restricted(fold, known, others, where=f"{path}: fold {index}") for index, fold in enumerate(content)]


def _patient(case: str, patients: Mapping[str, str] | None) -> str:
    return patient_of(case) if patients is None else patients[case]


def _person(case: str, patients: Mapping[str, str] | None) -> str:
    """The patient in the one spelling that all of a name have in common."""
    return same_text(_patient(case, patients))


def _is_fold(entry: object) -> bool:
    return isinstance(entry, dict) and all(
        isinstance(entry.get(part), list) and all(isinstance(case, str) for case in entry[part])
        for part in ("train", "val")
    )


def _restricted(fold: Mapping[str, Sequence[str]], known: Collection[str], others: Collection[str], where: str) -> Fold:
    """Check a fold of a file and keep what belongs to the cohort `known`."""
    spelt = {composed(case): case for case in known}
    train, validation = ([spelt.get(composed(case), case) for case in fold[part]] for part in ("train", "val"))
    both = set(train) & set(validation)
    _refuse(both, f"{where}: in both train and val", "keep each case in one of them")
    _refuse(_repeated([*train, *validation]), f"{where}: listed twice", "keep each case once")
    forms = {_form(case) for case in known}
    listed = {*train, *validation}
    unknown = {case for case in listed - set(known) - set(others) if _form(case) in forms}
    _refuse(unknown, f"{where}: not in the cohort", "add the case to the cohort or remove it from the file")
    _refuse(set(known) - listed, f"{where}: in no part", "add the case to the file or remove it from the cohort")
    return Fold(*(tuple(sorted(case for case in part if case in known)) for part in (train, validation)))


def _form(case: str) -> str:
    return re.sub(r"\d+", "0", case)


def _repeated(cases: Sequence[str]) -> set[str]:
    return {case for case, count in Counter(cases).items() if count > 1}


def _cases(units: Sequence[Sequence[str]], chosen: Iterable[int]) -> tuple[str, ...]:
    return tuple(sorted(case for index in chosen for case in units[index]))


def _refuse(cases: Collection[str], what: str, fix: str, *, shown: int = 5) -> None:
    """Raise a PedsegError that names the first of `cases`, if there are any."""
    if cases:
        more = f" and {len(cases) - shown} more" if len(cases) > shown else ""
        raise PedsegError(f"{what}: {', '.join(sorted(cases)[:shown])}{more}; {fix}")
