"""Score trained runs without labels of the target, to choose among them: ``pedseg validate runs``."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pedseg.choosing.validators import HELP
from pedseg.commands.options import (
    add_device,
    add_population,
    add_runs,
    command,
    device_of,
    left_out,
    natural,
    population_of,
    positive,
    run,
)
from pedseg.errors import PedsegError
from pedseg.locks import writing_all
from pedseg.runs import RunFolder

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    import torch

    from pedseg.choosing.plan import Plan
    from pedseg.runs import VariantFolder


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = command(
        "validate",
        "Scores for choosing among trained runs without a label of the target: of the last checkpoint of each finished "
        "run, in each of its variants, on images of target training cases and on held-out source cases. They go to "
        "<run>/predictions/<variant>/validators.json; what is there already is kept. `pedseg report` ranks by them.",
        epilog=f"{HELP}. All are the higher the better. No label of the target is opened.",
    )
    add_runs(p)
    p.add_argument(
        "--target",
        metavar="COHORT",
        help="for runs that have no target (default: the target of the other runs, else the cohort that is evaluated)",
    )
    p.add_argument("--cases", type=positive, default=20, metavar="N", help="most of each domain (default: %(default)s)")
    p.add_argument("--seed", type=natural, default=0, help="of the choice of cases and patches (default: %(default)s)")
    add_population(p, "what predicted sizes are compared with (default: what each run says of its target's patients)")
    add_device(p)
    return p


def validate(arguments: argparse.Namespace) -> None:
    """Validate every finished run that is not validated yet, compare the runs, and print the scores.

    Raises:
        PedsegError: there is no finished run, or a run has no images of the target.
    """
    from pedseg.choosing.plan import find_runs
    from pedseg.choosing.runs import compare_runs, validate_run
    from pedseg.reporting.ranking import find_members, printed_scores

    device = device_of(arguments)
    runs, others = find_runs(arguments.runs)
    for path, reason in others:
        left_out(path, reason)
    if not runs:
        raise PedsegError("there is no finished run; train one, or finish it")
    common = [arguments.target] if arguments.target else targets_of(runs)
    plans = [plan_of(run, arguments, common=common, device=device) for run in runs]
    with writing_all((run.run for run in runs), within=RunFolder(runs[0].run).written):
        for number, plan in enumerate(plans, start=1):
            done = plan.is_current()
            state = " has been validated" if done else _sizes(plan)
            print(f"{number} of {len(plans)}: {plan.title}{state}", flush=True)
            if not done:
                validate_run(plan, device=device)
        compare_runs(plans)
    print(printed_scores(find_members(arguments.runs)))


def targets_of(runs: "Sequence[VariantFolder]") -> list[str]:
    """Cohorts that any of the runs adapts to or is calibrated on."""
    from pedseg.settings.stored import read_settings

    cohorts: set[str] = set()
    for variant in runs:
        how, target = variant.how(), read_settings(variant.run).data.target
        cohorts |= {*target, *(how.calibration_target(target) if how else ())}
    return sorted(cohorts)


def plan_of(
    run: "VariantFolder", arguments: argparse.Namespace, *, common: Sequence[str], device: "torch.device"
) -> "Plan":
    """Find the cases of a run as it found them itself, and choose among them.

    Args:
        run: a variant of a finished run.
        arguments: number of cases and seed.
        common: target of a run that has none itself; empty for the cohort that it evaluates.
        device: where the network runs.

    Raises:
        PedsegError: cohorts are not prepared, or there is no image of the target.
    """
    from pedseg.assembly import select
    from pedseg.choosing.plan import make_plan
    from pedseg.inference import settings_of_run
    from pedseg.runs import how_it_predicts
    from pedseg.settings.stored import read_settings

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
        cases=arguments.cases,
        seed=arguments.seed,
        population=population_of(arguments),
    )


def _sizes(plan: "Plan") -> str:
    images = f" on {len(plan.target)} images of the target"
    if plan.population is None:
        images += "; no statistics of its patients are known, and sizes are left open without --population"
    if not plan.source:
        return f"{images}; no source case is held out, so what needs one is left open"
    return f"{images} and {len(plan.source)} held-out source cases"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, or 2 if something could not be done."""
    return run(parser(), validate, argv)
