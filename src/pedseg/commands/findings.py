"""What checks have found: as a table on screen, as CSV and as JSON."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO, get_args

from pedseg.errors import PedsegError, Problem, Severity
from pedseg.sinks import markup

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    from pedseg.settings.run import PrepareSettings

Form = Literal["table", "csv", "json"]
FORMS: tuple[Form, ...] = get_args(Form)
FILES: Mapping[str, Form] = {".csv": "csv", ".json": "json"}
HEADINGS = ("severity", "cohort", "case", "file", "what was found", "what to do")
COLUMNS = ("severity", "cohort", "case", "file", "what", "fix")
Found = Mapping[str, Sequence[Problem]]  # cohort → what was found in it


def gravest_first(found: Found) -> list[tuple[str, Problem]]:
    """Cohort and finding: problems, then warnings, then notes."""
    rows = [(cohort, row) for cohort, rows in found.items() for row in rows]
    return sorted(rows, key=lambda row: list(Severity).index(row[1].severity))


def show(found: Found, *, stream: TextIO, notes: bool = True) -> None:
    """Write findings: a table on a screen, else a line for each.

    Args:
        found: in any order.
        stream: where to.
        notes: whether notes are shown, too.
    """
    from rich.console import Console
    from rich.table import Table

    shown = [row for row in gravest_first(found) if notes or row[1].severity is not Severity.NOTE]
    if not shown:
        return
    console = Console(file=stream)
    if not console.is_terminal:
        console.print("\n".join(markup(_line(row)) for _, row in shown), soft_wrap=True, highlight=False)
        return
    table = Table(*HEADINGS, title="Findings")
    for row in shown:
        table.add_row(*map(markup, _cells(*row)))
    console.print(table)


def _line(row: Problem) -> str:
    return f"{row.severity}: {row}" if row.severity is Severity.PROBLEM else str(row)


def _cells(cohort: str, row: Problem) -> tuple[str, ...]:
    return (row.severity.value, cohort, row.case, row.file, row.what, row.fix)


def written(found: Found, form: Form) -> str:
    """The findings as the text of a CSV or JSON file."""
    rows = [dict(zip(COLUMNS, _cells(*row), strict=True)) for row in gravest_first(found)]
    if form == "json":
        return json.dumps(rows, indent=1) + "\n"
    import pandas as pd

    from pedseg.sinks import csv_text

    return csv_text(pd.DataFrame(rows, columns=list(COLUMNS)))


def form_of(output: Path) -> Form:
    """What the name of a file asks for.

    Raises:
        PedsegError: it ends otherwise.
    """
    if output.suffix.lower() not in FILES:
        raise PedsegError(f"--output {output}: findings are written as {' or '.join(FILES)}; give such a name")
    return FILES[output.suffix.lower()]


def report(found: Found, *, form: Form, output: Path | None, stream: TextIO) -> None:
    """Show all findings in a form, and write them into a file if one is named.

    Raises:
        PedsegError: there is a problem.
    """
    from pedseg.files import write_text

    if form == "table":
        show(found, stream=stream)
    else:
        stream.write(written(found, form))
    if output is not None:
        write_text(output, written(found, form_of(output)))
    refuse_problems(found, "or leave these cases out.")


def refuse_problems(found: Found, remedy: str) -> None:
    """End with the number of problems.

    Raises:
        PedsegError: there is one.
    """
    problems = [(cohort, row.case) for cohort, row in gravest_first(found) if row.severity is Severity.PROBLEM]
    if problems:
        raise PedsegError(f"{len(problems)} problems in {len(set(problems))} cases; mend them, {remedy}")


def check_cohorts(
    settings: "PrepareSettings", *, stream: TextIO, form: Form = "table", output: Path | None = None
) -> None:
    """Check the cohorts of a configuration and report what was found; nothing else is written.

    Args:
        settings: of the preparation.
        stream: for what is found.
        form: of that.
        output: file for it, too.

    Raises:
        PedsegError: there is a problem.
    """
    from pedseg.data.parallel import shared_processes, workers_of
    from pedseg.data.survey import survey

    workers = workers_of(settings.workers)
    with shared_processes(workers):
        cohorts = survey(settings, workers=workers)
    found = {one.cohort: [*one.check.findings, *one.convention_findings()] for one in cohorts}
    for one in cohorts:
        summarise(one.cohort, len(one.check.usable), found[one.cohort])
    report(found, form=form, output=output, stream=stream)


def summarise(cohort: str, usable: int, found: Sequence[Problem]) -> None:
    """Write a line for a cohort to stderr."""
    counts = [(sum(row.severity is severity for row in found), severity) for severity in Severity]
    words = ", ".join(f"{number} {severity}{'' if number == 1 else 's'}" for number, severity in counts if number)
    sys.stderr.write(f"{cohort}: {usable} cases can be used; {words or 'nothing was found'}\n")
