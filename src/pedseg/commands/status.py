"""Say where runs stand: ``pedseg status runs``, or ``pedseg status -m`` with the overrides of a sweep."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.commands.hydra_entry import run_here
from pedseg.commands.options import command
from pedseg.exits import exit_code
from pedseg.sinks import markup

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    from rich.console import Console, Group

    from pedseg.standing import Standing

EVERY_S = 2.0
WIDE = 200  # columns where no terminal says how many it has


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = command(
        "status",
        "Say which runs are finished, running, stopped (the same command continues them), failed, and why, and what "
        "of their training is left. Nothing is changed.",
        epilog="With what `pedseg train` was given, as in `pedseg status -m scale=benchmark sweep=benchmark seed=0`, "
        "the runs of that sweep are looked at, also those that have not begun.",
    )
    p.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="folders of runs (default: runs)")
    p.add_argument("--watch", action="store_true", help="go on, every few seconds, until no run is running or Ctrl-C")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns 0, or 2 after a message if there are no runs."""
    given = sys.argv[1:] if argv is None else list(argv)
    if any(is_override(argument) for argument in given):
        return of_a_sweep(given)
    return exit_code(lambda: _show_given(parser().parse_args(given)))


def _show_given(arguments: argparse.Namespace) -> None:
    show_below(arguments.runs or [Path("runs")], watch=arguments.watch)


def is_override(argument: str) -> bool:
    """Whether an argument is one of `pedseg train`: a flag for several jobs, or a setting, and no folder."""
    return argument in ("-m", "--multirun") or ("=" in argument and not Path(argument).exists())


def show_below(folders: Sequence[Path], *, watch: bool = False) -> None:
    """Show every run in these folders.

    Args:
        folders: of runs.
        watch: whether to go on until none is running.

    Raises:
        PedsegError: a folder has none.
    """
    from pedseg.standing import runs_below

    if watch:
        follow(folders)
    else:
        show(runs_below(folders))


def of_a_sweep(overrides: Sequence[str]) -> int:
    """Show the runs that overrides stand for, and return the exit code."""
    from pedseg.settings.run import RunSettings

    runs: list[Path] = []

    def look_up(settings: RunSettings) -> None:
        runs.append(settings.run_dir)

    code = run_here(look_up, lambda: RunSettings, overrides, config_name="train")
    if runs:
        show(runs)
    return code


def show(runs: Sequence[Path]) -> None:
    """Show a table of runs, why those that have not ended well have not, and how many are in which state."""
    from pedseg.standing import standing_of

    _console().print(_drawn([standing_of(run) for run in dict.fromkeys(runs)]), soft_wrap=True)


def follow(folders: Sequence[Path]) -> None:
    """Show the table of the runs in these folders again and again, in one place, until none is running."""
    from rich.live import Live

    from pedseg.standing import State, runs_below, standing_of

    with Live(console=_console(), auto_refresh=False) as live:
        while True:
            standings = [standing_of(run) for run in runs_below(folders)]
            live.update(_drawn(standings), refresh=True)
            if not any(one.state is State.RUNNING for one in standings):
                return
            time.sleep(EVERY_S)


def _console() -> "Console":
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=WIDE)


def _drawn(standings: "Sequence[Standing]") -> "Group":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from pedseg.standing import State

    table = Table(box=None, pad_edge=False)
    for heading in ("run", "state", "epochs", "loss", "left", "variants"):
        table.add_column(heading, overflow="fold")
    for one in standings:
        cells = (str(one.run), one.state, _epochs(one), _loss(one), _left(one), ", ".join(one.variants))
        table.add_row(*map(markup, cells))
    why = [Text.from_markup(markup(f"{one.run}: {one.text}")) for one in standings if one.text]
    counts = Counter(one.state for one in standings)
    told = ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
    return Group(table, *why, Text(f"{len(standings)} run{'s' * (len(standings) != 1)}: {told}"))


def _epochs(one: "Standing") -> str:
    return "" if one.of is None else f"{one.epochs}/{one.of}"


def _loss(one: "Standing") -> str:
    return "" if one.loss is None else f"{one.loss:.3f}"


def _left(one: "Standing") -> str:
    from pedseg.standing import duration

    return "" if one.left_s is None else duration(one.left_s)
