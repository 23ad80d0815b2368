"""Say where runs stand: ``pedseg status runs``, or ``pedseg status -m`` with the overrides of a sweep."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.commands.hydra_entry import run_here
from pedseg.commands.options import command, exit_code

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    from pedseg.standing import Standing

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
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns 0, or 2 after a message if there are no runs."""
    given = sys.argv[1:] if argv is None else list(argv)
    if any(is_override(argument) for argument in given):
        return of_a_sweep(given)
    arguments = parser().parse_args(given)
    return exit_code(lambda: show_below(arguments.runs or [Path("runs")]))


def is_override(argument: str) -> bool:
    """Whether an argument is one of `pedseg train`: a flag for several jobs, or a setting, and no folder."""
    return argument in ("-m", "--multirun") or ("=" in argument and not Path(argument).exists())


def show_below(folders: Sequence[Path]) -> None:
    """Show every run in these folders.

    Raises:
        PedsegError: a folder has none.
    """
    from pedseg.standing import runs_below

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
    """Show a table of runs, and how many are in which state."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from pedseg.standing import State, standing_of

    standings = [standing_of(run) for run in dict.fromkeys(runs)]
    console = Console() if sys.stdout.isatty() else Console(width=WIDE)
    table = Table(box=None, pad_edge=False)
    for heading in ("run", "state", "epochs", "left", "variants"):
        table.add_column(heading, overflow="fold")
    for one in standings:
        table.add_row(*map(Text, (str(one.run), one.state, _epochs(one), _left(one), ", ".join(one.variants))))
    console.print(table)
    for one in standings:
        if one.text:
            console.print(Text(f"{one.run}: {one.text}"), soft_wrap=True)
    counts = Counter(one.state for one in standings)
    told = ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
    console.print(f"{len(standings)} run{'s' * (len(standings) != 1)}: {told}", highlight=False)


def _epochs(one: "Standing") -> str:
    return "" if one.of is None else f"{one.epochs}/{one.of}"


def _left(one: "Standing") -> str:
    from pedseg.standing import duration

    return "" if one.left_s is None else duration(one.left_s)
