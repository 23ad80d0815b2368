"""Which cases a run trains on, watches and is scored on."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pedseg.errors import PedsegError
from pedseg.folds import Fold, make_folds, patient_overlap, read_nnunet_splits

logger = logging.getLogger(__name__)

Part = Literal["fold", "all"]
Grouping = Literal["published", "patient"]
CaseIds = Mapping[str, Sequence[str]]  # cohort → case ids
Chosen = tuple[tuple[str, str], ...]  # cohort and id of each case


@dataclass(frozen=True, slots=True)
class Selection:
    """The cases of one run, cohort → case ids.

    Attributes:
        source_train: labelled training cases.
        source_validation: labelled cases whose patches give the online Dice.
        target_train: training cases whose labels are never read.
        evaluation: cases that are predicted and scored after training.
        overlap: cohort → patients with one session trained on and another validated or evaluated.
        patients: cohort → case → patient; empty where the ids tell.
    """

    source_train: CaseIds
    source_validation: CaseIds
    target_train: CaseIds
    evaluation: CaseIds
    overlap: CaseIds
    patients: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def select_cases(
    case_ids: Mapping[str, Sequence[str]],
    *,
    fold: int | Literal["all"],
    source: Mapping[str, Part],
    target: Mapping[str, Part] | None = None,
    evaluation: Sequence[str] = (),
    grouping: Grouping | Mapping[str, Grouping] = "patient",
    split_files: Mapping[str, Path] | None = None,
    n_folds: int = 5,
    seed: int = 12345,
    patients: Mapping[str, Mapping[str, str]] | None = None,
    few: Mapping[str, int] | None = None,
    draw: int = 0,
) -> Selection:
    """Divide the cases of each cohort by its own folds.

    Args:
        case_ids: cohort → ids of its prepared cases.
        fold: which fold validates; "all" trains on everything.
        source: labelled cohorts, each as "fold" (the training part of the fold) or "all" (every case).
        target: cohorts trained on without labels, in the same terms.
        evaluation: cohorts that are scored. One that is trained on gives the fold's validation cases (none with
            ``fold="all"``), any other all of its cases.
        grouping: "patient" keeps the sessions of a patient in one part, "published" reproduces the published folds;
            for all cohorts, or cohort by cohort.
        split_files: cohort → nnU-Net split file to use instead of made folds.
        n_folds: number of folds to make.
        seed: of the made folds.
        patients: cohort → case → patient; None where the ids tell.
        few: cohort → how many of its labelled training cases train.
        draw: which ones do.

    Returns:
        The selection. A cohort whose every case trains still gives the validation part of the fold (of fold 0 with
        ``fold="all"``) as `source_validation`: its online Dice then shows progress, not generalisation. Patients that
        are in both parts of a fold are logged as a warning.

    Raises:
        PedsegError: an unknown cohort, part or fold; a cohort named as source and as target; or one that is scored
            though all of its labels are trained on.
    """
    target = target or {}
    _check_cohorts(case_ids, source, target, evaluation)
    patients = patients or {}
    divider = _Divider(case_ids, fold, grouping, split_files or {}, n_folds, seed, patients)
    source_train = {cohort: divider.training(cohort, part) for cohort, part in source.items()}
    for cohort in set(few or {}) & set(source):
        source_train[cohort] = choose_few(source_train[cohort], (few or {})[cohort], cohort=cohort, draw=draw)
    target_train = {cohort: divider.training(cohort, part) for cohort, part in target.items()}
    source_validation = {cohort: divider.monitored(cohort, part) for cohort, part in source.items()}
    evaluated = {cohort: divider.evaluated(cohort, source.get(cohort, target.get(cohort))) for cohort in evaluation}
    for cohort in evaluation:
        seen = set(evaluated[cohort]) & set(source_train.get(cohort, ()))
        if seen:
            raise PedsegError(
                f"cohort {cohort!r} is scored on {len(seen)} cases whose labels it trains on; use it as "
                f"source.{cohort}=fold, or do not evaluate it"
            )
    held_out = {c: source_validation[c] for c, part in source.items() if part == "fold" and fold != "all"} | evaluated
    transductive = {cohort for cohort, part in target.items() if part == "all"}
    overlap = _find_overlap(source_train | target_train, held_out, transductive=transductive, patients=patients)
    return Selection(source_train, source_validation, target_train, evaluated, overlap, patients)


def choose_cases(ids: CaseIds, number: int, *, seed: int) -> Chosen:
    """Choose cases by a hash of seed, cohort and id, in the order of the hashes.

    A case that comes to the cohort or leaves it moves no more than one other in or out of the choice, and two runs
    choose the same of what they share.
    """

    def key(case: tuple[str, str]) -> bytes:
        return hashlib.blake2b("\n".join((str(seed), *case)).encode()).digest()

    return tuple(sorted(((cohort, case) for cohort, some in ids.items() for case in some), key=key)[:number])


def choose_few(ids: Sequence[str], number: int, *, cohort: str, draw: int) -> tuple[str, ...]:
    """So many of the training cases of a cohort, in the order of their ids; a draw holds every smaller one of it.

    Raises:
        PedsegError: there are not so many.
    """
    if number > len(ids):
        raise PedsegError(f"few.{cohort}={number}: the fold has {len(ids)} training cases; give no more than these")
    return tuple(sorted(case for _, case in choose_cases({cohort: ids}, number, seed=draw)))


def _check_cohorts(
    case_ids: Mapping[str, Sequence[str]],
    source: Mapping[str, Part],
    target: Mapping[str, Part],
    evaluation: Sequence[str],
) -> None:
    for cohort in [*source, *target, *evaluation]:
        if not case_ids.get(cohort):
            raise PedsegError(f"cohort {cohort!r} has no prepared cases; there are {', '.join(case_ids) or 'none'}")
    for cohort, part in [*source.items(), *target.items()]:
        if part not in {"fold", "all"}:
            raise PedsegError(f"cohort {cohort!r} cannot be used as {part!r}; use fold or all")
    both = sorted(set(source) & set(target))
    if both:
        raise PedsegError(f"cohort {both[0]!r} is both source and target; its labels cannot be used and not used")


@dataclass(frozen=True, slots=True)
class _Divider:
    """Folds of each cohort, made when they are needed (a cohort used whole may be too small for folds)."""

    case_ids: Mapping[str, Sequence[str]]
    fold: int | Literal["all"]
    grouping: Grouping | Mapping[str, Grouping]
    split_files: Mapping[str, Path]
    n_folds: int
    seed: int
    patients: Mapping[str, Mapping[str, str]]

    def training(self, cohort: str, part: Part) -> tuple[str, ...]:
        if part == "all" or self.fold == "all":
            return self._everything(cohort)
        return self._fold(cohort, self.fold).train

    def monitored(self, cohort: str, part: Part) -> tuple[str, ...]:
        trained_whole = part == "all" or self.fold == "all"
        if trained_whole and cohort not in self.split_files and len(self.case_ids[cohort]) < self.n_folds:
            return ()
        return self._fold(cohort, 0 if self.fold == "all" else self.fold).validation

    def evaluated(self, cohort: str, part: Part | None) -> tuple[str, ...]:
        if part is None:
            return self._everything(cohort)
        return () if self.fold == "all" else self._fold(cohort, self.fold).validation

    def _everything(self, cohort: str) -> tuple[str, ...]:
        return tuple(sorted(self.case_ids[cohort]))

    def _fold(self, cohort: str, index: int) -> Fold:
        ids = self._everything(cohort)
        if cohort in self.split_files:
            folds, origin = read_nnunet_splits(self.split_files[cohort], ids), str(self.split_files[cohort])
        else:
            grouping = self.grouping if isinstance(self.grouping, str) else self.grouping.get(cohort, "patient")
            patients = self.patients.get(cohort)
            folds = make_folds(ids, n_folds=self.n_folds, seed=self.seed, grouping=grouping, patients=patients)
            origin = f"the {grouping} folds of cohort {cohort!r}"
        if not 0 <= index < len(folds):
            raise PedsegError(f"fold {index} is not in {origin} (0-{len(folds) - 1}, or all)")
        return folds[index]


def _find_overlap(
    trained: CaseIds, held_out: CaseIds, *, transductive: set[str], patients: Mapping[str, Mapping[str, str]]
) -> CaseIds:
    """Patients of each cohort that are trained on and held out; whole target cohorts are meant to be both."""
    overlap = {}
    for cohort, ids in held_out.items():
        if cohort in transductive or cohort not in trained:
            continue
        both = patient_overlap(Fold(train=tuple(trained[cohort]), validation=tuple(ids)), patients.get(cohort))
        if both:
            overlap[cohort] = both
            logger.warning(
                "cohort %s: %d patients have sessions in training and in validation (%s …); "
                "grouping by patient keeps them apart",
                cohort,
                len(both),
                ", ".join(both[:3]),
            )
    return overlap
