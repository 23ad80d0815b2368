"""Text of unknown origin, such as names of files, made harmless for where it is shown."""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    import pandas as pd

# What a terminal obeys or does not show: C0 but tab and newline, DEL, C1, bidi controls and marks, zero-width
# characters, line separators, and lone surrogates, which stand for bytes of names that are not UTF-8 (PEP 383).
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
BYTES = range(0xDC80, 0xDD00)  # surrogates of bytes
# What spreadsheets take for a formula (OWASP, "CSV injection"), also behind apostrophes, which may be those of `cell`.
FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
MARKDOWN = "\\`*_|[]<>"
LATEX = {
    **{character: f"\\{character}" for character in "_%&#${}"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "³": "$^3$", "<": "$<$", ">": "$>$",
}  # fmt: skip


def terminal(text: str) -> str:
    """`text` with visible escapes for what a terminal obeys or does not show; lines and tabs stay."""
    return UNSEEN.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    code = code - 0xDC00 if code in BYTES else code
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"  # noqa: PLR2004  (a byte)


class Visible:
    """A text stream whose text goes through `terminal`.

    Rich writes its own sequences, to the stream below: it looks for it under this name.

    Args:
        stream: what is written to.
    """

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        """Write text, and return how much of it was given; what the stream cannot encode is escaped, too."""
        shown, encoding = terminal(text), self.rich_proxied_file.encoding or "utf-8"
        self.rich_proxied_file.write(shown.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (whatever the stream has)
        return getattr(self.rich_proxied_file, name)


def show_visibly() -> None:
    """Have all that this process writes from here on go through `terminal`: for processes beside the first."""
    sys.stdout, sys.stderr = (cast("TextIO", Visible(stream)) for stream in (sys.stdout, sys.stderr))


@contextmanager
def visible_streams() -> Iterator[None]:
    """Have what this block writes to stdout and stderr go through `terminal`."""
    before = sys.stdout, sys.stderr
    if not any(isinstance(stream, Visible) for stream in before):
        sys.stdout, sys.stderr = (cast("TextIO", Visible(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def markdown(text: object) -> str:
    """Text in a line of Markdown, such as a cell of a table, where it is nothing but text."""
    line = " ".join(terminal(str(text)).splitlines())
    return "".join(f"\\{character}" if character in MARKDOWN else character for character in line)


def latex(text: object) -> str:
    """Text in LaTeX."""
    line = " ".join(terminal(str(text)).splitlines())
    return "".join(LATEX.get(character, character) for character in line)


def markup(text: object) -> str:
    """Text that Rich shows as it is, in a table or beside a progress bar."""
    from rich.markup import escape  # noqa: PLC0415  (rich is there where this is called)

    return escape(terminal(str(text)))


class VisibleFormatter(logging.Formatter):
    """Lines of a log whose text goes through `terminal`: logs are read on terminals."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return terminal(super().format(record))


def cell(text: str) -> str:
    """Text in a cell of a CSV file, which terminals show, and which no spreadsheet takes for a formula.

    It goes through `terminal`, and one apostrophe before it.
    """
    shown = terminal(text)
    return f"'{shown}" if FORMULA.match(shown) else shown


def from_cell(text: str) -> str:
    """What `cell` was given, as a terminal shows it."""
    return text[1:] if text.startswith("'") and FORMULA.match(text[1:]) else text


def csv_text(table: "pd.DataFrame", *, index_label: str | None = None) -> str:
    """A table as CSV, its texts as `cell` writes them; with the index as first column if that has a name."""
    whole = table if index_label is None else table.reset_index(names=index_label)
    texts = {name: column.map(_text_cell) for name, column in whole.items() if column.dtype.kind not in "biufc"}
    written: str = whole.assign(**{str(name): column for name, column in texts.items()}).to_csv(index=False)
    return written


def _text_cell(value: object) -> object:
    return cell(value) if isinstance(value, str) else value
