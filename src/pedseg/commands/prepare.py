"""Prepare cohorts for training: ``pedseg prepare [data=brats] paths.adult=DIR paths.ped=DIR [--check]``."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.commands.findings import check_cohorts, refuse_problems, show
from pedseg.commands.hydra_entry import run_hydra
from pedseg.errors import PedsegError
from pedseg.locks import writing_all

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    from pedseg.data.survey import Surveyed
    from pedseg.settings.run import PrepareSettings

log = logging.getLogger(__name__)


def settings_model() -> "type[PrepareSettings]":
    """Settings of this command, loaded when --help is answered."""
    from pedseg.settings.run import PrepareSettings

    return PrepareSettings


def prepare(settings: "PrepareSettings") -> None:
    """Check all cohorts, then prepare them; or check them alone, as ``pedseg check`` does.

    Raises:
        PedsegError: a problem was found (a table of all of them has been written), or the store was made with other
            settings. Nothing is written then.
    """
    if settings.check:
        check_cohorts(settings, stream=sys.stderr)
        return
    from pedseg.data.parallel import shared_processes, workers_of

    workers = workers_of(settings.workers)
    stores = [settings.data.store / name for name in settings.data.cohorts]
    with writing_all(stores, within=("cases",)), shared_processes(workers):
        _prepare_all(settings, workers=workers)


def _prepare_all(settings: "PrepareSettings", *, workers: int) -> None:
    from pedseg.data.survey import survey

    cohorts = survey(settings, workers=workers, prepares=True)
    found = {one.cohort: one.check.findings for one in cohorts}
    show(found, stream=sys.stderr, notes=False)
    if not settings.skip_bad:
        refuse_problems(found, "or leave these cases out with skip_bad=true. Nothing was written.")
    for cohort in cohorts:
        _finish(cohort, settings.data.store / cohort.cohort, overwrite=settings.overwrite, workers=workers)


def _finish(surveyed: "Surveyed", store: Path, *, overwrite: bool, workers: int) -> None:
    """Settle the label convention of a checked cohort and prepare it."""
    from dataclasses import replace

    from pedseg.data.checking import settle_convention
    from pedseg.data.claiming import claim_store
    from pedseg.data.preparation import prepare_cohort

    check, name = surveyed.check, surveyed.cohort
    if not check.usable:
        raise PedsegError(f"cohort {name!r} in {surveyed.folder} has no case that can be used")
    settings = replace(surveyed.settings, convention=settle_convention(surveyed.settings, check.evidence))
    if claim_store(store, settings, overwrite=overwrite):
        check = replace(check, ready=frozenset())
    done = prepare_cohort(store, check, settings, input_folder=surveyed.folder, workers=workers)
    log.info(
        "%s: %d cases in %s (%d prepared now, %d were ready), %s",
        name, len(check.usable), store, done, len(check.usable) - done, settings.labels,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code. ``--check`` stands for ``check=true``."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    arguments = ["check=true" if argument == "--check" else argument for argument in given]
    return run_hydra(prepare, settings_model, config_name="prepare", arguments=arguments)
