"""What the entry points share: where conf/ lies, and how a user's mistake ends a command."""

import sys
from collections.abc import Callable
from pathlib import Path

from pedseg.errors import PedsegError

USAGE_ERROR = 2


def conf_dir() -> Path:
    """Folder of the Hydra configuration: inside an installed wheel, or at the top of a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parents[1] / "conf"


def exit_code(body: Callable[[], int | None]) -> int:
    """Run the body of a command; a `PedsegError` becomes a short message on stderr and exit code 2."""
    try:
        return body() or 0
    except PedsegError as error:
        sys.stderr.write(f"pedseg: {error}\n")
        return USAGE_ERROR
