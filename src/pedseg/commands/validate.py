"""Score trained runs without labels of the target, to choose among them: ``pedseg validate runs``."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pedseg.arguments import natural, positive
from pedseg.choosing.validators import CASES, HELP
from pedseg.commands.options import (
    add_device,
    add_population,
    add_runs,
    command,
    device_of,
    left_out,
    population_of,
    run,
)
from pedseg.errors import PedsegError
from pedseg.locks import writing_all
from pedseg.runs import RunFolder

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    from pedseg.choosing.plan import Plan


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = command(
        "validate",
        "Scores for choosing among trained runs without a label of the target: of the last checkpoint of each finished "
        "run, in each of its variants, on images of target training cases and on held-out source cases. They go to "
        "<run>/predictions/<variant>/validators.json; what is there already is kept. `pedseg report` ranks by them. "
        "Beside them, of held-out source cases, lies what shows whether probabilities mean what they say: "
        "reliability.csv, .svg, .pdf and .png with the expected calibration error (ECE) of each region.",
        epilog=f"{HELP}. All are the higher the better. No label of the target is opened.",
    )
    add_runs(p)
    p.add_argument(
        "--target",
        metavar="COHORT",
        help="for runs that have no target (default: the target of the other runs, else the cohort that is evaluated)",
    )
    p.add_argument(
        "--cases", type=positive, default=CASES, metavar="N", help="most of each domain (default: %(default)s)"
    )
    p.add_argument("--seed", type=natural, default=0, help="of the choice of cases and patches (default: %(default)s)")
    add_population(p, "what predicted sizes are compared with (default: what each run says of its target's patients)")
    add_device(p)
    return p


def validate(arguments: argparse.Namespace) -> None:
    """Validate every finished run that is not validated yet, compare the runs, and print the scores.

    Raises:
        PedsegError: there is no finished run, or a run has no images of the target.
    """
    from pedseg.assembly import retold
    from pedseg.assembly.validation import targets_of, validation_plan
    from pedseg.choosing.plan import find_runs
    from pedseg.choosing.runs import compare_runs, contradicted_sizes, validate_run
    from pedseg.reporting.figures.reliability import draw_reliability
    from pedseg.reporting.ranking import find_members, printed_scores

    device = device_of(arguments)
    runs, others = find_runs(arguments.runs)
    for path, reason in others:
        left_out(path, reason)
    if not runs:
        raise PedsegError("there is no finished run; train one, or finish it")
    common = [arguments.target] if arguments.target else targets_of(runs)
    how = {"cases": arguments.cases, "seed": arguments.seed, "population": population_of(arguments)}
    plans = [validation_plan(run, common=common, device=device, **how) for run in runs]
    folders = [RunFolder(path) for path in dict.fromkeys(run.run for run in runs)]
    with writing_all((folder.path for folder in folders), within=folders[0].written), ExitStack() as told:
        for folder in folders:
            told.enter_context(retold(folder))
        for number, plan in enumerate(plans, start=1):
            done = plan.is_current()
            state = " has been validated" if done else _sizes(plan)
            print(f"{number} of {len(plans)}: {plan.title}{state}", flush=True)
            if not done:
                validate_run(plan, device=device)
            draw_reliability(plan.run)
        compare_runs(plans)
    print(printed_scores(find_members(arguments.runs)))
    for plan in plans:
        if contradiction := contradicted_sizes(plan):
            print(f"{plan.title}: {contradiction}", file=sys.stderr)


def _sizes(plan: "Plan") -> str:
    images = f" on {len(plan.target)} images of the target"
    if plan.population is None:
        images += "; no statistics of its patients are known, and sizes are left open without --population"
    if not plan.source:
        return f"{images}; no source case is held out, so what needs one is left open"
    return f"{images} and {len(plan.source)} held-out source cases"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, or 2 if something could not be done."""
    return run(parser, validate, argv)
