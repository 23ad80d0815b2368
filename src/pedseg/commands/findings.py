"""What the check of cases has found, as a table on screen."""

from collections.abc import Sequence

from pedseg.errors import Problem, Severity

COLUMNS = ("severity", "case", "file", "what", "fix")
HEADINGS = ("severity", "case", "file", "what was found", "what to do")


def gravest_first(findings: Sequence[Problem]) -> list[Problem]:
    """Problems, then warnings, then notes."""
    return sorted(findings, key=lambda row: list(Severity).index(row.severity))


def show(findings: Sequence[Problem], *, notes: bool = True) -> None:
    """Write findings to stderr: a table on a screen, else a line for each.

    Args:
        findings: in any order.
        notes: whether notes are shown, too.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = [row for row in gravest_first(findings) if notes or row.severity is not Severity.NOTE]
    if not shown:
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        console.print("\n".join(map(str, shown)), soft_wrap=True, markup=False, highlight=False)
        return
    table = Table(*HEADINGS, title="Findings")
    for row in shown:
        table.add_row(*(Text(str(getattr(row, column))) for column in COLUMNS))
    console.print(table)
