"""A page with its viewer in the browser of this machine: ``pedseg view report``."""

import argparse
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from pedseg.arguments import natural
from pedseg.commands.options import command, run
from pedseg.signals import Stopped


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = command(
        "view",
        "Serve the page of a report or a prediction to the browser of this machine, on 127.0.0.1 alone and below a "
        "random token. Pages open from the disk, too; one whose volumes are too large to lie in it needs this.",
    )
    p.add_argument("folder", type=Path, metavar="DIR", help="what pedseg report, benchmark or predict --page wrote")
    p.add_argument("--port", type=natural, default=0, help="to listen at (default: a free one)")
    p.add_argument("--no-browser", action="store_true", help="print the address and open no browser")
    return p


def view(arguments: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        PedsegError: the folder has no page, or the port cannot be had.
    """
    from pedseg.pages.server import PageServer

    with PageServer(arguments.folder, port=arguments.port) as server:
        print(f"{server.address}\nCtrl-C ends it", flush=True)
        if not arguments.no_browser:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except Stopped:  # as it is meant to end
            return


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, or 2 if there is nothing to serve."""
    return run(parser, view, argv)
