"""What command lines share: options that are spelt once, how a command ends, and how it says what went wrong."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.arguments import number, positive
from pedseg.choosing.validators import DEFAULT, VALIDATORS
from pedseg.errors import PedsegError, Problem
from pedseg.exits import SOME_FAILED, exit_code
from pedseg.files import check_free
from pedseg.runs import PLAIN

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    import torch

    from pedseg.settings.population import Population


def command(verb: str, description: str, *, epilog: str | None = None) -> argparse.ArgumentParser:
    """A command line to add options to."""
    return argparse.ArgumentParser(prog=f"pedseg {verb}", description=description, epilog=epilog)


def add_runs(p: argparse.ArgumentParser, *, nargs: str = "+") -> None:
    """Add the runs that a command is for."""
    p.add_argument("runs", nargs=nargs, type=Path, metavar="RUN", help="experiment, folder of experiments, or a fold_*")


def add_output(p: argparse._ActionsContainer, metavar: str, what: str, *, required: bool = True) -> None:
    """Add ``--output``."""
    p.add_argument("--output", type=Path, required=required, metavar=metavar, help=what)


def add_overwrite(p: argparse.ArgumentParser, what: str) -> None:
    """Add ``--overwrite``."""
    p.add_argument("--overwrite", action="store_true", help=what)


def add_workers(p: argparse.ArgumentParser) -> None:
    """Add ``--workers``."""
    p.add_argument("--workers", type=positive, metavar="N", help="processes (default: one per core)")


def add_background(p: argparse.ArgumentParser) -> None:
    """Add ``--background``: which voxels of the input's images are none of the brain."""
    what = "voxels at or below V are background (default: those that are 0)"
    p.add_argument("--background", type=number, metavar="V", help=what)


def add_device(p: argparse.ArgumentParser) -> None:
    """Add ``--device``, which `device_of` reads."""
    what = "where networks run (default: the GPU if there is one)"
    p.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help=what)


def add_validator(p: argparse.ArgumentParser, what: str) -> None:
    """Add ``--validator``."""
    names = f"{', '.join(VALIDATORS)} (default: %(default)s)"
    p.add_argument("--validator", choices=tuple(VALIDATORS), default=DEFAULT, metavar="NAME", help=f"{what}: {names}")


def add_population(p: argparse.ArgumentParser, what: str) -> None:
    """Add ``--population``, which `population_of` reads."""
    p.add_argument("--population", metavar="NAME", help=f"{what}: a file of conf/population or of your own (.yaml)")


def population_of(arguments: argparse.Namespace) -> "Population | None":
    """The population that was asked for; None if none was.

    Raises:
        PedsegError: there is none such.
    """
    from pedseg.settings.population import load_population

    return load_population(arguments.population) if arguments.population else None


def add_variant(p: argparse.ArgumentParser, what: str, *, default: str = PLAIN) -> None:
    """Add ``--variant``."""
    p.add_argument("--variant", default=default, metavar="NAME", help=f"{what} (default: %(default)s)")


def device_of(arguments: argparse.Namespace) -> "torch.device":
    """The device that was asked for.

    Raises:
        PedsegError: this machine has none such.
    """
    import torch

    from pedseg.inference import best_device

    device = best_device() if arguments.device == "auto" else torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise PedsegError("--device cuda: this machine has no CUDA device; use --device cpu")
    return device


def check_file(output: Path, *, overwrite: bool) -> None:
    """Refuse an output that cannot be a file, or would replace one that was not given up.

    Raises:
        PedsegError: either is so.
    """
    if output.is_dir():
        raise PedsegError(f"{output} is a folder; give the name of a file as --output")
    check_free(output, overwrite=overwrite)


def tell(problems: Sequence[Problem], heading: str) -> int:
    """Write problems to stderr, a line for each, and return the exit code that goes with them."""
    if not problems:
        return 0
    sys.stderr.write("".join([f"pedseg: {heading}\n", *(f"  {problem}\n" for problem in problems)]))
    return SOME_FAILED


def left_out(what: object, reason: str) -> None:
    """Say on stderr that something was not looked at."""
    sys.stderr.write(f"pedseg: {what} is left out: {reason}\n")


def run(
    parser: Callable[[], argparse.ArgumentParser],
    task: Callable[[argparse.Namespace], int | None],
    arguments: Sequence[str] | None,
) -> int:
    """Parse a command line, run its task, and return the exit code as `exit_code` does."""
    return exit_code(lambda: task(parser().parse_args(arguments)))
