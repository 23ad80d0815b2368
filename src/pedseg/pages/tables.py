"""Tables for people: one description, shown as Markdown in files and sortable on a page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pedseg.sinks import markdown

BEST, SECOND = "best", "second"
STYLES: Mapping[str, str] = {"": "{}", BEST: "**{}**", SECOND: "<u>{}</u>"}
DASH = "–"


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: what is shown, of any origin.
        value: what it is sorted by; None for its text.
        mark: ``best`` (bold), ``second`` (underlined) or nothing.
    """

    text: str
    value: float | None = None
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its caption.

    Attributes:
        name: of its CSV file, without ending; unique on a page.
        caption: what it shows, of how many cases.
        heads: of the columns.
        rows: cells, as many in each as there are heads; text may stand for a cell.
        notes: sentences that belong to it.
    """

    name: str
    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default=())

    @property
    def numeric(self) -> list[bool]:
        """Whether a column holds numbers and dashes alone, so that it is set to the right."""
        columns = [[row[place] for row in self.rows] for place in range(len(self.heads))]
        return [
            any(cell.value is not None for cell in column)
            and all(cell.value is not None or cell.text in ("", DASH) for cell in column)
            for column in columns
        ]

    def markdown(self) -> str:
        """Caption, table and notes as Markdown; names in it are nothing but text."""
        ends = "|".join("---:" if number else "---" for number in self.numeric)
        lines = [f"| {' | '.join(markdown(head) for head in self.heads)} |", f"|{ends}|"]
        lines += [f"| {' | '.join(STYLES[c.mark].format(markdown(c.text)) for c in row)} |" for row in self.rows]
        parts = [markdown(self.caption), "\n".join(lines), *map(markdown, self.notes)]
        return "\n\n".join(part for part in parts if part) + "\n"


def number(value: float, digits: int, *, signed: bool = False, mark: str = "") -> Cell:
    """A number with so many decimals, or a dash where there is none; nothing has a minus that rounds to 0."""
    if not math.isfinite(value):
        return Cell(DASH)
    rounded = round(value, digits) + 0.0
    return Cell(f"{rounded:+.{digits}f}" if signed else f"{rounded:.{digits}f}", value, mark)


def count(value: int) -> Cell:
    """A whole number."""
    return Cell(str(value), float(value))


def share(part: int, whole: int) -> Cell:
    """So many of so many, sorted by the first."""
    return Cell(f"{part} of {whole}", float(part))
