"""Hostile names through the places where text is shown."""

import io
import logging
import random
import sys

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from pedseg.errors import PedsegError
from pedseg.exits import exit_code
from pedseg.sinks import UNSEEN, Visible, VisibleFormatter, cell, csv_text, from_cell, latex, markdown, markup, terminal

HOSTILE = [
    "\x1b[2J",
    "\x1b]8;;http://x\x07",
    "\x9b31m",
    "\u202egpj",
    "a\u200bb",
    "\udcff",
    "\r",
    "\x07",
    "\ud800",
    "\ufeff",
]


@pytest.mark.parametrize("seed", range(20))
def test_a_terminal_is_shown_what_it_cannot_obey(seed: int) -> None:
    draw = random.Random(seed)
    text = "".join(draw.choice([*HOSTILE, "é", "脑", "[/b]", "x", " ", chr(draw.randrange(0xE000))]) for _ in range(50))
    shown = terminal(text)
    assert all(char.isprintable() or char in "\n\t" or ord(char) > 127 for char in shown)
    assert not any(char in shown for name in HOSTILE for char in name if not char.isprintable())
    shown.encode()
    assert terminal(shown) == shown


def test_harmless_text_stays() -> None:
    for text in ("BraTS-PED-00001-000", "Zoë 脑 → [/b]\n\tx", ""):
        assert terminal(text) == text
    assert terminal("a\udcffb\x1b[0m") == "a\\xffb\\x1b[0m"


def test_messages_of_commands_are_visible(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        sys.stdout.write("out \x1b[2J\n")
        raise PedsegError("no such file: case\x1b]0;x\x07\udcff[/b]")

    streams = sys.stdout, sys.stderr
    assert exit_code(fail) == 2
    assert (sys.stdout, sys.stderr) == streams
    said = capsys.readouterr()
    assert said.out == "out \\x1b[2J\n"
    assert said.err.endswith("case\\x1b]0;x\\x07\\xff[/b]\n")


def test_a_stream_of_few_letters_takes_all_names() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert Visible(stream).write("→ é") == 3
    stream.flush()
    assert stream.buffer.getvalue() == b"\\u2192 \\xe9"


ALPHABET = "=+-@\t\r\n'\"\\`*_|[]<>{}$%&#~^\x1b\u202e\u200bab1 ü³"


def hostile(seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(ALPHABET), rng.integers(1, 9))) for _ in range(300)]


def test_no_cell_is_a_formula_and_every_text_comes_back() -> None:
    for text in [*hostile(0), "=1+cmd|' /C calc'!A0", "'=1", "''=1", "'quoted'", "BraTS-PED-00001"]:
        assert cell(text)[0] not in "=+-@\t\r\n"
        assert from_cell(cell(text)) == terminal(text)
        assert not UNSEEN.search(cell(text))
    assert cell("BraTS-PED-00001") == "BraTS-PED-00001"
    assert cell("'quoted'") == "'quoted'"


def test_a_table_keeps_its_numbers_and_hides_its_formulas() -> None:
    table = pd.DataFrame({"case": ["=1+1", "plain"], "dice": [-0.5, np.nan], "n": [-1, 2]}, index=["@a", "b"])
    assert csv_text(table, index_label="model") == "model,case,dice,n\n'@a,'=1+1,-0.5,-1\nb,plain,,2\n"


def test_rich_shows_a_text_as_it_is() -> None:
    for text in ("[/b]", "[red]x", "[link=http://x]", "a\x1b[31mb", *hostile(2)):
        stream = io.StringIO()
        Console(file=stream, width=1000, highlight=False).print(markup(text), end="", soft_wrap=True)
        shown = terminal(text).expandtabs(8)
        assert stream.getvalue() in (shown, f"{shown}\\")  # rich doubles a last backslash
        assert not UNSEEN.search(stream.getvalue())


def test_a_log_is_read_on_a_terminal() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "case %s", ("a\x1b]0;x\x07",), None)
    assert VisibleFormatter("%(message)s").format(record) == "case a\\x1b]0;x\\x07"


def test_markup_is_text() -> None:
    assert markdown("a|b\n<script>[x](y)") == "a\\|b \\<script\\>\\[x\\](y)"
    assert latex(r"\input{x}~50%_^#&$") == (
        r"\textbackslash{}input\{x\}\textasciitilde{}50\%\_\textasciicircum{}\#\&\$"
    )
    for text in hostile(1):
        for shown in (markdown(text), latex(text)):
            assert "\n" not in shown
            assert not UNSEEN.search(shown)
