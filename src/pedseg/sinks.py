"""Text of unknown origin, such as names of files, made harmless for where it is shown."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

# What a terminal obeys or does not show: C0 but tab and newline, DEL, C1, bidi controls and marks, zero-width
# characters, line separators, and lone surrogates, which stand for bytes of names that are not UTF-8 (PEP 383).
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
BYTES = range(0xDC80, 0xDD00)  # surrogates of bytes


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
