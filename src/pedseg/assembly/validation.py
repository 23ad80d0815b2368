"""What a run is scored on without labels: the cases are found as the run found them itself."""

import logging
from collections.abc import Sequence

import torch

from pedseg.assembly.objects import select
from pedseg.choosing.plan import Plan, make_plan, predictions_of
from pedseg.choosing.runs import validate_run
from pedseg.choosing.validators import CASES
from pedseg.inference import settings_of_run
from pedseg.runs import RunFolder, VariantFolder, how_it_predicts
from pedseg.settings.population import Population
from pedseg.settings.stored import read_settings

log = logging.getLogger(__name__)


def validate_own(run: RunFolder, device: torch.device) -> None:
    """Score every prediction of a run without labels, as ``pedseg validate`` does, unless that has been done.

    Raises:
        PedsegError: there is no image of the target, or a file is damaged.
    """
    for place in predictions_of(run):
        plan = validation_plan(place, common=targets_of([place]), device=device)
        if not plan.is_current():
            validate_run(plan, device=device)
            log.info("scores of %d images without labels: %s", len(plan.target), place.validators)


def targets_of(runs: Sequence[VariantFolder]) -> list[str]:
    """Cohorts that any of the runs adapts to or is calibrated on."""
    cohorts: set[str] = set()
    for variant in runs:
        how, target = variant.how(), read_settings(variant.run).data.target
        cohorts |= {*target, *(how.calibration_target(target) if how else ())}
    return sorted(cohorts)


def validation_plan(
    run: VariantFolder,
    *,
    common: Sequence[str],
    device: torch.device,
    cases: int = CASES,
    seed: int = 0,
    population: Population | None = None,
) -> Plan:
    """Find the cases of a run, and choose among them.

    Args:
        run: a variant of a finished run.
        common: target of a run that has none itself; empty for the cohort that it evaluates.
        device: where the network runs.
        cases: most of each domain.
        seed: of the choice of cases and patches.
        population: what predicted sizes are compared with, in place of the run's own.

    Raises:
        PedsegError: cohorts are not prepared, or there is no image of the target.
    """
    settings, how = read_settings(run.run), how_it_predicts(run)
    data, fold = settings.data, settings.fold
    target = list(data.target or common or [data.evaluation])
    source = {cohort: part for cohort, part in data.labelled_source.items() if cohort not in target}
    # The training part of the target's fold, also for a run that was not trained on the target, or on its labels.
    selection = select(settings, source=source, target=target)
    held_out = {c: selection.source_validation[c] for c, part in source.items() if part == "fold" and fold != "all"}
    return make_plan(
        run,
        how,
        held_out=held_out,
        target=selection.target_train,
        prediction=settings_of_run(settings, how, device),
        cases=cases,
        seed=seed,
        population=population,
    )
