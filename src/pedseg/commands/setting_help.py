"""Help of the commands whose command line is settings: a screen, and the options of a group or what a key takes."""

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pedseg.errors import PedsegError
from pedseg.settings.conf import default_options, first_comment, groups

if TYPE_CHECKING:  # settings wait until a key is asked for
    from pydantic import BaseModel

    from pedseg.settings.keys import Key

MOST = 100  # columns
TRAIN = """\
usage: pedseg train [GROUP=OPTION | KEY=VALUE]... [-m] [--dry-run] [--cfg job]

Train a model, predict the held-out cases and score them. The same command
continues a run that was stopped.

  pedseg train experiment=uda fold=0             one run: runs/uda/fold_0
  pedseg train -m experiment=uda fold=0,1,2,3,4  a sweep: one for each value
  pedseg train experiment=uda fold=0 optimizer.lr=0.005 --dry-run
                                                 hours and memory it will take
"""
PREPARE = """\
usage: pedseg prepare [GROUP=OPTION | KEY=VALUE]... [--check] [--cfg job]

Check cohorts, and prepare them for training. The same command continues, and
mends what is damaged.

  pedseg prepare paths.adult=/data/adults paths.ped=/data/children
  pedseg prepare --check                         say what is wrong with them
  pedseg prepare skip_bad=true                   leave out what is wrong
"""
TEXTS = {"train": TRAIN, "prepare": PREPARE}
MORE = """
pedseg {verb} --help GROUP or KEY says what there is, such as
  --help {group}, --help {key}
pedseg {verb} --cfg job shows the settings that a command line gives.
docs/configuration.md lists every key with its type, unit and default.
"""
EXAMPLES = {"train": ("experiment", "optimizer.lr"), "prepare": ("scale", "workers")}
FIRST = {  # groups, as a user comes to need them
    "train": ("experiment", "scale", "cohort", "variant", "logger", "cluster"),
    "prepare": ("scale", "cohort", "data"),
}


def screen(verb: str) -> str:
    """What ``--help`` alone shows, in 24 lines of 80 columns; no more than names of files is read."""
    here, first = groups(), FIRST[verb]
    lines = [f"  {name:<11} {_some(here[name], width=66)}" for name in first]
    others = sorted({name for name in here if name in default_options(verb)} - set(first))
    lines += textwrap.wrap(f"and {', '.join(others)}", 78, initial_indent="  ", subsequent_indent="  ")
    group, key = EXAMPLES[verb]
    return "\n".join([TEXTS[verb], "Groups:", *lines, MORE.format(verb=verb, group=group, key=key).rstrip()])


def about(verb: str, word: str, model: "type[BaseModel]") -> str:
    """What there is of a group or of keys: ``--help WORD``.

    Args:
        verb: whose settings they are.
        word: name of a group, of a key, or what keys begin with.
        model: of the settings.

    Raises:
        PedsegError: there is none of that name; the message has a near one.
    """
    from pedseg.settings.faults import near
    from pedseg.settings.keys import root

    leaves = [key for key in root(model).leaves() if key.name == word or key.name.startswith(f"{word}.")]
    options = groups().get(word, [])
    if not leaves and not options:
        names = {*groups(), *(key.name for key in root(model).leaves())}
        raise PedsegError(f"--help {word}: there is neither a group nor a key of that name; {near(word, names)}")
    chosen = default_options(verb).get(word, [])
    lines = [line for option in options for line in _option(word, option, default=option in chosen)]
    return "\n".join([*lines, *([""] if lines and leaves else []), *(line for key in leaves for line in _key(key))])


def _some(names: Sequence[str], *, width: int) -> str:
    """As many names as fit."""
    text = ", ".join(names)
    shown = len(names)
    while len(text) > width:
        shown -= 1
        text = f"{', '.join(names[:shown])} … ({len(names)})"
    return text


def _option(group: str, option: str, *, default: bool) -> Iterator[str]:
    yield f"{group}={option}{'  (default)' if default else ''}"
    yield from _sentence(first_comment(group, option))


def _key(key: "Key") -> Iterator[str]:
    from pedseg.settings.keys import unit
    from pedseg.settings.page import sentence, words

    unit_of = unit(key.field)
    yield f"{key.name}=  {words(key.annotation)}{f', {unit_of}' if unit_of else ''}".rstrip(" ,")
    yield from _sentence(sentence(key))


def _sentence(text: str) -> list[str]:
    width = min(shutil.get_terminal_size().columns, MOST)
    return textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="    ")
