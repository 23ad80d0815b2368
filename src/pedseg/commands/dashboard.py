"""The dashboard of W&B that shows whether adaptation works: ``pedseg dashboard --entity TEAM``."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from pedseg.choosing.validators import DEFAULT, VALIDATORS
from pedseg.commands.options import add_variant, command, run
from pedseg.errors import PedsegError
from pedseg.files import write_text

FILE = Path("dashboard.json")


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = command(
        "dashboard",
        "Make a workspace of W&B with the panels that show whether adaptation works: scores of held-out target cases, "
        "scores without labels and whether they agree, the adversary, and whether the source is kept. Without a way to "
        f"W&B its definition goes to {FILE}.",
    )
    p.add_argument("--project", default="pedseg", help="project of the runs (default: %(default)s)")
    p.add_argument("--entity", default=os.environ.get("WANDB_ENTITY", ""), help="its team or user, or WANDB_ENTITY")
    add_variant(p, "whose scores are shown")
    p.add_argument(
        "--validator", default=DEFAULT, choices=VALIDATORS, help="score without labels (default: %(default)s)"
    )
    p.add_argument("--output", type=Path, metavar="FILE", help="write the definition there as JSON, and send nothing")
    p.add_argument("--sweep", metavar="NAME", help="only say where the file of a sweep lies, for wandb sweep")
    return p


def dashboard(arguments: argparse.Namespace) -> None:
    """Save the workspace, or write its definition; or name the file of a sweep.

    Raises:
        PedsegError: an extra is missing, no team is given, or the sweep is unknown.
    """
    if arguments.sweep:
        from pedseg.tracking.sweeps import sweep_file

        print(sweep_file(arguments.sweep))
        return
    if not (arguments.entity or arguments.output):
        raise PedsegError("give --entity TEAM, or --output FILE to write the definition to disk")

    from pedseg.tracking.dashboard import definition, sections, workspace

    space = workspace(arguments.entity, arguments.project, sections(arguments.variant, arguments.validator))
    if arguments.output is None:
        why = _save(space)
        if why is None:
            print(space.url)
            return
        print(f"W&B was not told ({why})")
    output = arguments.output or FILE
    write_text(output, definition(space))
    print(output)


def _save(space: object) -> str | None:
    """Send a workspace to W&B; why not, if that cannot be done."""
    import wandb

    try:
        space.save()  # type: ignore[attr-defined]
    except (wandb.errors.Error, OSError, ValueError) as error:
        return " ".join(str(error).split())
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, or 2 if nothing could be made."""
    return run(parser, dashboard, argv)
