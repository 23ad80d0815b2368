"""Numbers of command lines, with a message of what is wanted: argparse's own says only what was given."""

import argparse
import math


def positive(text: str) -> int:
    """A whole number from 1 on."""
    return _whole(text, least=1)


def natural(text: str) -> int:
    """A whole number from 0 on."""
    return _whole(text, least=0)


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is no number; give one such as 0.5")
    return value


def _whole(text: str, *, least: int) -> int:
    value = int(text) if text.isdecimal() and len(text) < 10 else least - 1  # noqa: PLR2004  (a billion of anything)
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} on; give such a number")
    return value
