"""How far each model closes the gap: ``pedseg benchmark benchmark/runs --output benchmark/report``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.arguments import natural, positive
from pedseg.commands.options import (
    add_device,
    add_output,
    add_overwrite,
    add_validator,
    command,
    device_of,
    run,
)
from pedseg.errors import PedsegError
from pedseg.hardware import describe_machine
from pedseg.locks import writing
from pedseg.pages import PAGE

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    from pedseg.gap.benchmark import Benchmark
    from pedseg.gap.choice import Choice
    from pedseg.gap.pictures import Domains
    from pedseg.gap.rows import Row
    from pedseg.pages.document import Picture


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = command(
        "benchmark",
        "The table of the label-free benchmark: Dice and HD95 of every model with intervals over cases and "
        "seeds, the share of the gap between 1* and 3* that it closes, what that costs, and whether the model that a "
        "validator chooses without labels reaches the goal; and pictures. Best, median and worst cases are in the "
        "pictures of `pedseg report RUNS/seed_0`.",
    )
    p.add_argument(
        "runs", type=Path, metavar="RUNS", help="folder of seed_<s>/<experiment>/fold_<k>, such as benchmark/runs"
    )
    add_output(p, "DIR", "for index.html, gap.csv, gap.json, figures")
    add_validator(p, "what chooses the model that the goal is asked of")
    p.add_argument("--resamples", type=positive, default=2000, metavar="N", help="of the bootstrap (%(default)s)")
    p.add_argument("--seed", type=natural, default=0, help="of the bootstrap and the windows (default: %(default)s)")
    p.add_argument(
        "--cases", type=positive, default=40, metavar="N", help="most of each domain in the embedding (%(default)s)"
    )
    add_device(p)
    add_overwrite(p, "replace files in DIR that no report wrote")
    return p


def benchmark(arguments: argparse.Namespace) -> None:
    """Write the table and the pictures; print the table and the verdict.

    Raises:
        PedsegError: a bound is missing, runs do not compare, a file cannot be read, or one in the way is not ours.
    """
    if arguments.cases == 1:
        raise PedsegError("--cases 1: one case of each domain has no spread; give 2 or more")
    with writing(arguments.output, within=("figures",)):
        compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    """Write the table and the pictures, as `benchmark`."""
    import datetime

    from pedseg.gap.benchmark import load_benchmark
    from pedseg.gap.choice import choose
    from pedseg.gap.labels import worths
    from pedseg.gap.page import FILES, Report, goal_text, main_table, write_report
    from pedseg.gap.rows import gap_notes, make_rows
    from pedseg.gap.seeds import seed_costs
    from pedseg.ownership import check_folder, record

    output: Path = arguments.output
    found = load_benchmark(arguments.runs)
    check_folder(output, FILES, overwrite=arguments.overwrite, within="figures")
    settings = {"resamples": arguments.resamples, "seed": arguments.seed}
    rows = make_rows(found, **settings)
    choices = choose(found, rows)
    costs, unvalidated = seed_costs(found)
    pictures, missing = draw(found, rows, choices, arguments)
    report = Report(
        benchmark=found,
        rows=rows,
        choices=choices,
        costs=costs,
        validator=arguments.validator,
        resamples=arguments.resamples,
        machine=describe_machine(),
        date=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        notes=[*found.notes, *gap_notes(found, **settings), *unvalidated, *missing],
        pictures=pictures,
        worths=worths(found, rows, **settings),
    )
    record(output, [*write_report(report, output), *(file for picture in pictures for file in picture.files)])
    print(f"{report.caption}\n\n{main_table(rows).markdown()}\n{goal_text(report)}\n")
    print(f"report: {output / PAGE}")


def draw(
    found: "Benchmark", rows: "Sequence[Row]", choices: "Sequence[Choice]", arguments: argparse.Namespace
) -> "tuple[list[Picture], list[str]]":
    """Draw every picture; say which one cannot be drawn, such as where the runs are and their data are not."""
    from pedseg.gap.pictures import draw_curves, draw_embedding, draw_gap, models_to_embed

    folder: Path = arguments.output / "figures"
    pictures = [draw_gap(rows, found, folder), *draw_curves(found, folder)]
    device = device_of(arguments)
    chosen = models_to_embed(rows, choices, validator=arguments.validator)
    try:
        domains = find_domains(chosen, cases=arguments.cases, seed=arguments.seed)
        pictures.append(draw_embedding(chosen, found, domains, folder / "embedding", device=device))
    except PedsegError as error:
        return pictures, [f"The features of both domains are not drawn: {str(error).rstrip('.')}."]
    return pictures, []


def find_domains(rows: "Sequence[Row]", *, cases: int, seed: int) -> "Domains":
    """Choose held-out adults and test children; of these only images are opened.

    Raises:
        PedsegError: cohorts are not prepared, or no source case is held out.
    """
    from pedseg.assembly import select
    from pedseg.data.selection import choose_cases
    from pedseg.gap.pictures import Domains, settings_with_held_out_source

    settings = settings_with_held_out_source(rows)
    selection = select(settings)
    parts = settings.data.labelled_source
    held_out = {cohort: selection.source_validation[cohort] for cohort, part in parts.items() if part == "fold"}
    return Domains(
        settings.data.store,
        choose_cases(held_out, cases, seed=seed),
        choose_cases(selection.evaluation, cases, seed=seed),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, or 2 if there is nothing to report."""
    return run(parser, benchmark, argv)
