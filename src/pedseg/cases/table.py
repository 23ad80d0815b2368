"""Tables that users write: CSV (comma, semicolon or tab) with a head, or a JSON list of records."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pedseg.errors import PedsegError
from pedseg.files import read_json

ENDINGS: Final = (".csv", ".tsv", ".json")
_DELIMITERS = ",;\t"
Row = Mapping[str, str]


def read_table(path: Path) -> list[Row]:
    """Read the rows of a table: text by the name of its column, in small letters; an empty cell is an empty text.

    Raises:
        PedsegError: it cannot be read, has no rows, names a column twice, or a row is longer than the head.
    """
    rows = list(_records(path) if path.suffix.lower() == ".json" else _lines(path))
    if not rows:
        raise PedsegError(f"{path}: has no rows; give a line with the names of the columns and a line for each case")
    return rows


def _lines(path: Path) -> Iterator[Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise PedsegError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise PedsegError(f"{path}: cannot be read as a table in UTF-8 ({error}); save it as CSV UTF-8") from error
    first = text.partition("\n")[0]
    reader = csv.reader(text.splitlines(), delimiter=max(_DELIMITERS, key=first.count))
    head = [name.strip().lower() for name in next(reader, [])]
    twice = sorted({name for name in head if name and head.count(name) > 1})
    if twice:
        raise PedsegError(f"{path}: has two columns {twice[0]!r}; keep one of them")
    for number, cells in enumerate(reader, 2):
        if len(cells) > len(head):
            raise PedsegError(f"{path}: line {number} has {len(cells)} cells and the head has {len(head)}; mend it")
        if any(cell.strip() for cell in cells):
            yield dict(zip(head, (*map(str.strip, cells), *[""] * (len(head) - len(cells))), strict=True))


def _records(path: Path) -> Iterator[Row]:
    content = read_json(path)
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise PedsegError(f'{path}: is no list of records; write [{{"case": ..., ...}}, ...]')
    for row in content:
        wrong = [name for name, value in row.items() if not isinstance(value, str | int | None)]
        if wrong:
            raise PedsegError(f"{path}: {wrong[0]}={row[wrong[0]]!r} is no text; give one text for each name")
        yield {name.strip().lower(): "" if value is None else str(value).strip() for name, value in row.items()}
