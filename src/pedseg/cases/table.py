"""Tables that users write: CSV (comma, semicolon or tab) with a head, or a JSON list of records."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pedseg.errors import PedsegError
from pedseg.files import read_json, read_text

ENDINGS: Final = (".csv", ".tsv", ".json")
_DELIMITERS = ",;\t"
Row = Mapping[str, str]


def read_table(path: Path) -> list[Row]:
    """Read the rows of a table: text by the name of its column, in small letters; an empty cell is an empty text.

    Raises:
        PedsegError: it cannot be read, has no rows, names a column twice, or a row is longer than the head.
    """
    return [row for _, row in read_placed(path)]


def read_placed(path: Path) -> list[tuple[str, Row]]:
    """As `read_table`, with where each row is: "line 3", or "record 2" of a JSON list."""
    rows = list(_records(path) if path.suffix.lower() == ".json" else _lines(path))
    if not rows:
        raise PedsegError(f"{path}: has no rows; give a line with the names of the columns and a line for each case")
    return rows


def _lines(path: Path) -> Iterator[tuple[str, Row]]:
    text = read_text(path, what="a table in UTF-8", fix="save it as CSV UTF-8")
    first = text.partition("\n")[0]
    try:
        reader = csv.reader(io.StringIO(text, newline=None), delimiter=max(_DELIMITERS, key=first.count), strict=True)
        head = [name.strip().lower() for name in next(reader, [])]
        rows = [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise PedsegError(f"{path}: cannot be read as a table in UTF-8 ({error}); save it as CSV UTF-8") from error
    twice = sorted({name for name in head if name and head.count(name) > 1})
    if twice:
        raise PedsegError(f"{path}: has two columns {twice[0]!r}; keep one of them")
    for number, cells in rows:
        if len(cells) > len(head):
            raise PedsegError(f"{path}: line {number} has {len(cells)} cells and the head has {len(head)}; mend it")
        if any(cell.strip() for cell in cells):
            filled = (*map(str.strip, cells), *[""] * (len(head) - len(cells)))
            yield f"line {number}", dict(zip(head, filled, strict=True))


def _records(path: Path) -> Iterator[tuple[str, Row]]:
    content = read_json(path)
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise PedsegError(f'{path}: is no list of records; write [{{"case": ..., ...}}, ...]')
    for number, row in enumerate(content, 1):
        wrong = [name for name, value in row.items() if not isinstance(value, str | int | None)]
        if wrong:
            raise PedsegError(
                f"{path}: record {number}, {wrong[0]}={row[wrong[0]]!r} is no text; give one text for each name"
            )
        texts = {name.strip().lower(): "" if value is None else str(value).strip() for name, value in row.items()}
        yield f"record {number}", texts
