"""Check cohorts before anything is made of them: ``pedseg check [paths.ped=DIR …]``, ``pedseg check --input DIR``."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.commands.findings import FORMS, check_cohorts, form_of, report, summarise
from pedseg.commands.hydra_entry import run_hydra
from pedseg.commands.options import (
    add_background,
    add_output,
    add_overwrite,
    add_workers,
    check_file,
    command,
)
from pedseg.errors import PedsegError, Problem
from pedseg.exits import exit_code
from pedseg.locks import writing_file

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    from pedseg.cases import Discovery
    from pedseg.settings.run import PrepareSettings

CONFIG = "prepare"  # whose settings are taken
LOG_TO_STDERR = "hydra.job_logging.handlers.console.stream=ext://sys.stderr"
AUTO = "auto"
BESIDE = Path()  # where --labels names no folder


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = command(
        "check",
        "Check images and labels and say what is wrong: the cohorts of a configuration, or any folder of cases. "
        "Problems (exit code 2) keep a case from being used; warnings are probably mistakes; notes say what is done.",
        epilog="KEY=VALUE: the settings of pedseg prepare, as in `pedseg check data=brats paths.ped=DIR`.",
    )
    p.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings of the cohorts, without --input")
    p.add_argument("--input", type=Path, metavar="DIR", help="a folder of cases in any layout, instead of settings")
    p.add_argument(
        "--labels", type=Path, nargs="?", const=BESIDE, metavar="DIR",
        help="with --input: check labels, too: those beside the images, or those in DIR",
    )  # fmt: skip
    p.add_argument(
        "--convention", default=AUTO, help="with --labels: voxel labels (default: told from the labels themselves)"
    )
    add_background(p)
    p.add_argument("--allow-missing", action="store_true", help="with --input: cases may lack sequences")
    p.add_argument("--format", choices=FORMS, default=FORMS[0], help="what goes to stdout (default: %(default)s)")
    add_output(p, "FILE", "a .csv or .json file for the findings", required=False)
    add_overwrite(p, "replace an existing output")
    add_workers(p)
    return p


def check(arguments: argparse.Namespace) -> int:
    """Check a folder, or the cohorts of a configuration.

    Raises:
        PedsegError: there is a problem, or what is asked for contradicts itself.
    """
    output = arguments.output
    if output is not None:
        form_of(output)
        check_file(output, overwrite=arguments.overwrite)
    with nullcontext() if output is None else writing_file(output):
        return check_folder(arguments) if arguments.input else check_configured(arguments)


def check_configured(arguments: argparse.Namespace) -> int:
    """Check the cohorts of a configuration.

    Raises:
        PedsegError: an option is given that goes with a folder.
    """
    given = {"--labels": arguments.labels, "--background": arguments.background}
    for option in (option for option, value in given.items() if value is not None):
        raise PedsegError(f"{option} goes with --input DIR; give it, or data.cohorts.<name>.* of a configured cohort")
    task = partial(check_cohorts, stream=sys.stdout, form=arguments.format, output=arguments.output)
    workers = [] if arguments.workers is None else [f"workers={arguments.workers}"]
    return run_hydra(task, settings_model, config_name=CONFIG, arguments=[*arguments.settings, *workers, LOG_TO_STDERR])


def settings_model() -> "type[PrepareSettings]":
    """Settings of the cohorts, loaded when --help is answered."""
    from pedseg.settings.run import PrepareSettings

    return PrepareSettings


def check_folder(arguments: argparse.Namespace) -> int:
    """Check a folder of cases.

    Raises:
        PedsegError: there is a problem, or no case.
    """
    if arguments.settings:
        raise PedsegError(f"--input DIR takes no settings ({arguments.settings[0]}); give one or the other")
    from pedseg.data.checking import check_cohort, convention_findings
    from pedseg.data.cohort_settings import CohortSettings
    from pedseg.data.parallel import shared_processes, workers_of
    from pedseg.labels import read_convention

    name = arguments.input.resolve().name
    labelled = arguments.labels is not None
    convention = read_convention(arguments.convention) if labelled and arguments.convention != AUTO else None
    found = find(arguments.input, arguments.labels, name=name, allow_missing=arguments.allow_missing)
    settings = CohortSettings(name, labelled, convention, None, arguments.background, found.ignored)
    workers = workers_of("auto" if arguments.workers is None else arguments.workers)
    with shared_processes(workers):
        checked = check_cohort(found, settings, workers=workers)
    findings = [*checked.findings, *convention_findings(settings, checked.evidence, needed=False)]
    summarise(name, len(checked.usable), findings)
    report({name: findings}, form=arguments.format, output=arguments.output, stream=sys.stdout)
    return 0


def find(images: Path, labels: Path | None, *, name: str, allow_missing: bool) -> "Discovery":
    """Find the cases of a folder, and their labels if they are wanted.

    Args:
        images: the folder.
        labels: folder of the labels; `BESIDE` for those that lie beside the images; None for none.
        name: given to the cohort.
        allow_missing: whether cases may lack sequences.

    Raises:
        PedsegError: there is no case.
    """
    from pedseg.cases import find_cases

    found = find_cases(images, cohort=name, labelled=labels == BESIDE, allow_missing=allow_missing)
    found.check_sequences(images, cohort=name)
    return found if labels in (None, BESIDE) else _with_labels(found, labels)


def _with_labels(found: "Discovery", labels: Path) -> "Discovery":
    from dataclasses import replace

    from pedseg.evaluation.pairing import find_labels

    by_case, problems = find_labels(labels)
    cases = tuple(replace(case, label=by_case[case.id]) for case in found.cases if case.id in by_case)
    lacking = [
        Problem(case.id, f"{case.id}.nii.gz", f"no label in {labels}", "add the label, or remove the case")
        for case in found.cases
        if case.id not in by_case
    ]
    return replace(found, cases=cases, problems=(*found.problems, *problems, *lacking))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 2 for problems, else 0."""
    return exit_code(lambda: check(_parsed(sys.argv[1:] if arguments is None else arguments)))


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parsed, flags = parser().parse_known_args(arguments)
    parsed.settings = [*parsed.settings, *flags]
    return parsed
