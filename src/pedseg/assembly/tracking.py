"""Loggers of a run, and what the trackers among them are told of it after its training."""

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from pedseg.assembly.cases import evaluation_cases
from pedseg.assembly.objects import select
from pedseg.callbacks import MetricsCsv
from pedseg.cases import Case
from pedseg.data.cohorts import labelled_cases
from pedseg.errors import PedsegError, StoppedEarlyError
from pedseg.evaluation.postprocessing.runs import evaluated_convention
from pedseg.files import safe_name, sha256
from pedseg.runs import RunFolder, VariantFolder
from pedseg.settings.outside import about
from pedseg.settings.run import RunSettings
from pedseg.settings.stored import read_settings, read_stored
from pedseg.tracking import CaseRow, Tracker, results_of, trackers
from pedseg.tracking.results import read_curves

MOST_CASES = 50  # in a table of cases

log = logging.getLogger(__name__)


def build_loggers(settings: RunSettings, folder: RunFolder, *, first_epoch: int) -> list[Logger]:
    """metrics.csv, and what logger= names beside it.

    Raises:
        PedsegError: a tracker cannot be used, or metrics.csv holds something else.
    """
    return [MetricsCsv(folder.metrics, first_epoch=first_epoch), *open_trackers(settings, folder)]


def open_trackers(settings: RunSettings, folder: RunFolder) -> list[Tracker]:
    """The trackers of a run; one that begins a record is told of the curves that there are.

    Raises:
        PedsegError: one cannot be used.
    """
    chosen, opened = settings.logger, list[Tracker]()
    if chosen.wandb:
        from pedseg.tracking.wandb_run import WandbRun  # noqa: PLC0415  (loads wandb)

        opened.append(WandbRun(folder.path, about(settings), chosen))
    if chosen.mlflow:
        from pedseg.tracking.mlflow_run import MlflowRun  # noqa: PLC0415  (loads mlflow)

        opened.append(MlflowRun(folder.path, about(settings), chosen))
    if chosen.tensorboard:
        from pedseg.tracking.tensorboard_run import TensorBoardRun  # noqa: PLC0415  (an extra)

        opened.append(TensorBoardRun(folder.path))
    for tracker in opened:
        if tracker.fresh:
            _replay(tracker, folder)
    return opened


@contextmanager
def followed(settings: RunSettings, folder: RunFolder, *, first_epoch: int) -> Iterator[list[Logger]]:
    """Loggers of a training and of what comes after it: in the end they are told what the run folder holds.

    Raises:
        PedsegError: a tracker cannot be used.
    """
    loggers = build_loggers(settings, folder, first_epoch=first_epoch)
    failed = True
    try:
        yield loggers
        _tell(settings, folder, trackers(loggers), pictured=settings.variant, trained=True)
        failed = False
    except StoppedEarlyError:
        failed = False
        raise
    finally:
        _close(loggers, failed=failed)


@contextmanager
def retold(folder: RunFolder) -> Iterator[None]:
    """Tell the trackers of a run afterwards what it holds, if that has changed or one of them has not heard of it.

    What has been computed stays where a tracker cannot be used; the log says so.
    """
    settings = read_stored(folder.path) if folder.config.exists() else None
    if not isinstance(settings, RunSettings) or not settings.logger.tracks:
        yield
        return
    before, made = results_of(folder), {place.name for place in folder.variants()}
    yield
    if results_of(folder) != before or _unheard(settings, folder):
        _retell(settings, folder, made=made)


def _retell(settings: RunSettings, folder: RunFolder, *, made: Collection[str]) -> None:
    try:
        opened = open_trackers(settings, folder)
    except PedsegError as error:
        log.warning("%s: what has been computed is there, and no tracker was told: %s", folder.path, error)
        return
    failed = True
    try:
        everything = any(tracker.fresh for tracker in opened)
        names = {place.name for place in folder.variants()}
        _tell(settings, folder, opened, pictured=names - set(() if everything else made), trained=everything)
        failed = False
    finally:
        _close(opened, failed=failed)


def _unheard(settings: RunSettings, folder: RunFolder) -> bool:
    """Whether a tracker that is asked for has no record of the run, or an agent of a sweep wants one of its own."""
    from pedseg.tracking.mlflow_run import NOTE  # noqa: PLC0415
    from pedseg.tracking.wandb_run import kept_id, wanted_id  # noqa: PLC0415

    chosen, kept = settings.logger, kept_id(folder.path)
    return (chosen.wandb and (kept is None or wanted_id(folder.path) != kept)) or (
        chosen.mlflow and not (folder.path / NOTE).exists()
    )


@rank_zero_only
def _tell(
    settings: RunSettings, folder: RunFolder, opened: Sequence[Tracker], *, pictured: Collection[str], trained: bool
) -> None:
    """Tell trackers what a run folder holds; of the cases of some variants only where patient data may be shown."""
    if not opened:
        return
    last = (read_curves(folder.metrics) or [{}])[-1]
    end = {"epoch": int(last.get("epoch", 0)), "step": int(last.get("step", 0))}
    values = results_of(folder)
    tables = _tables(settings, folder, pictured) if settings.callbacks.images else {}
    for tracker in opened:
        tracker.results(values, **end)
        for name, rows in tables.items():
            tracker.cases(name, rows)
        if tracker.artifact and trained:
            _keep(settings, folder, tracker)


def _tables(settings: RunSettings, folder: RunFolder, variants: Collection[str]) -> dict[str, list[CaseRow]]:
    places = [place for place in folder.variants() if place.name in variants]
    cases = _cases(settings)[:MOST_CASES] if places else []
    tables = {place.name: _rows(settings, place, cases) for place in places}
    return {name: rows for name, rows in tables.items() if rows}


def _cases(settings: RunSettings) -> Sequence[Case]:
    """Evaluated cases, with the labels that there are."""
    name = settings.data.evaluation
    cohort = settings.data.cohorts[name]
    cases = evaluation_cases(settings, select(settings))
    wanted = [case.id for case in cases]
    known = labelled_cases(cohort.folder, wanted, cohort=name) if cohort.labelled and cohort.folder and cases else []
    return list({case.id: case for case in (*cases, *known)}.values())


def _rows(settings: RunSettings, place: VariantFolder, cases: Sequence[Case]) -> list[CaseRow]:
    from pedseg.tracking.case_rows import case_row, scores_by_case  # noqa: PLC0415  (reads images)

    convention, scores = evaluated_convention(settings), scores_by_case(place.scores)
    maps = {case.id: place.path / f"{safe_name(case.id)}.nii.gz" for case in cases}
    present = [case for case in cases if maps[case.id].exists()]
    return [case_row(one, maps[one.id], scores.get(one.id, {}), convention=convention) for one in present]


def _keep(settings: RunSettings, folder: RunFolder, tracker: Tracker) -> None:
    """Give a tracker the checkpoint, with what it was made from."""
    begun = settings.init.run
    origin = about(read_settings(begun)).name if begun else None
    known = {"sha256": sha256(folder.checkpoint), "seed": settings.seed, "epochs": settings.trainer.max_epochs}
    tracker.checkpoint(folder.checkpoint, name=about(settings).name, about=known, origin=origin)


@rank_zero_only
def _replay(tracker: Tracker, folder: RunFolder) -> None:
    for row in read_curves(folder.metrics):
        values = {name: value for name, value in row.items() if name != "step"}
        tracker.log_metrics(values, step=int(row.get("step", 0)))


def _close(loggers: Sequence[Logger], *, failed: bool) -> None:
    """End every session, so that the next job of a sweep begins one of its own."""
    for logger in loggers:
        logger.finalize("failed" if failed else "success")
    for tracker in trackers(loggers):
        tracker.close(failed=failed)
