"""Hostile names through the places where text is shown."""

import io
import random
import sys

import pytest

from pedseg.commands.options import exit_code
from pedseg.errors import PedsegError
from pedseg.sinks import Visible, terminal

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
