"""Prepare cohorts for training: ``pedseg prepare [data=brats] paths.adult=DIR paths.ped=DIR [--check]``."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.commands.findings import show
from pedseg.commands.hydra_entry import run_hydra
from pedseg.errors import PedsegError
from pedseg.locks import writing_all

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    from pedseg.data.checking import CohortCheck
    from pedseg.data.cohort_settings import CohortSettings
    from pedseg.settings.cohorts import Cohort
    from pedseg.settings.run import PrepareSettings

log = logging.getLogger(__name__)


def settings_model() -> "type[PrepareSettings]":
    """Settings of this command, loaded when --help is answered."""
    from pedseg.settings.run import PrepareSettings

    return PrepareSettings


def prepare(settings: "PrepareSettings") -> None:
    """Check all cohorts, then prepare them.

    Raises:
        PedsegError: a problem was found (a table of all of them has been written), or the store was made with other
            settings. Nothing is written then.
    """
    from pedseg.data.parallel import default_workers, shared_processes

    workers = default_workers() if settings.workers == "auto" else settings.workers
    stores = [] if settings.check else [settings.data.store / name for name in settings.data.cohorts]
    with writing_all(stores, within=("cases",)), shared_processes(workers):
        _prepare_all(settings, workers=workers)


def _prepare_all(settings: "PrepareSettings", *, workers: int) -> None:
    """Check all cohorts, then prepare them, as `prepare`."""
    from pedseg.cases import Discovery, find_cases
    from pedseg.data.checking import check_cohort

    plans: list[tuple[Path, Path, CohortSettings, CohortCheck]] = []
    for name, cohort in settings.data.cohorts.items():
        source = _folder(name, cohort)
        how = _settings(name, cohort, settings.data.spacing_mm)
        found: Discovery = find_cases(source, cohort=name, labelled=how.labelled)
        found.check_sequences(source, cohort=name)
        store = settings.data.store / name
        plans.append((source, store, how, check_cohort(store, found, how, workers=workers)))
    plans = _compared(plans, target=settings.data.pair.target)
    show([finding for *_, check in plans for finding in check.findings], notes=settings.check)
    problems = [problem for *_, check in plans for problem in check.problems]
    if problems and not settings.skip_bad:
        raise PedsegError(
            f"{len(problems)} problems in {len({p.case for p in problems})} cases; mend them, or leave these cases "
            "out with skip_bad=true. Nothing was written."
        )
    for source, store, how, check in plans:
        _finish(source, store, how, check, asked=settings, workers=workers)


def _compared(
    plans: "Sequence[tuple[Path, Path, CohortSettings, CohortCheck]]", *, target: str | None
) -> "list[tuple[Path, Path, CohortSettings, CohortCheck]]":
    """The same with what comparing the cohorts with each other has shown."""
    from pedseg.data.sharing import without_leaks

    labelled = [how.cohort for *_, how, _ in plans if how.labelled]
    checks = without_leaks({how.cohort: check for *_, how, check in plans}, labelled=labelled, target=target)
    return [(source, store, how, checks[how.cohort]) for source, store, how, _ in plans]


def _finish(
    source: Path,
    store: Path,
    settings: "CohortSettings",
    check: "CohortCheck",
    *,
    asked: "PrepareSettings",
    workers: int,
) -> None:
    """Settle the label convention of a checked cohort and, unless only a check was asked for, prepare it."""
    from dataclasses import replace

    from pedseg.data.checking import settle_convention
    from pedseg.data.claiming import claim_store
    from pedseg.data.preparation import prepare_cohort

    if not check.usable:
        raise PedsegError(f"cohort {settings.cohort!r} in {source} has no case that can be used")
    settings = replace(settings, convention=settle_convention(settings, check.evidence))
    label = f"labels {settings.convention}" if settings.labelled else "no labels"
    if asked.check:
        log.info("%s: %d cases, %s, no problem found", settings.cohort, len(check.usable), label)
        return
    if claim_store(store, settings, overwrite=asked.overwrite):
        check = replace(check, ready=frozenset())
    done = prepare_cohort(store, check, settings, input_folder=source, workers=workers)
    log.info(
        "%s: %d cases in %s (%d prepared now, %d were ready), %s",
        settings.cohort, len(check.usable), store, done, len(check.usable) - done, label,
    )  # fmt: skip


def _folder(name: str, cohort: "Cohort") -> Path:
    from pedseg.settings.pair import where_to_say

    if cohort.folder is None:
        raise PedsegError(where_to_say(name))
    return cohort.folder


def _settings(name: str, cohort: "Cohort", spacing_mm: tuple[float, float, float] | None) -> "CohortSettings":
    from pedseg.data.cohort_settings import CohortSettings
    from pedseg.labels import get_convention

    told = cohort.convention == "auto" or not cohort.labelled
    return CohortSettings(
        cohort=name,
        labelled=cohort.labelled,
        convention=None if told else get_convention(cohort.convention),
        spacing_mm=spacing_mm,
        background=cohort.background,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code. ``--check`` stands for ``check=true``."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    arguments = ["check=true" if argument == "--check" else argument for argument in given]
    return run_hydra(prepare, settings_model, config_name="prepare", arguments=arguments)
