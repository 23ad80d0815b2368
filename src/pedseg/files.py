"""Files that are either whole or absent: write beside the destination, then rename."""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pedseg.errors import PedsegError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` if the block succeeds.

    The temporary name keeps the suffixes of `path` (``.nii.gz`` matters to nibabel) and begins with a dot, so that a
    listing of finished files never shows it. The folder is created. If the block raises, the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)  # noqa: PTH105  (also replaces on every platform)
    finally:
        temporary.unlink(missing_ok=True)


def check_free(output: Path, *, overwrite: bool) -> None:
    """Refuse to replace an output that was not given up.

    Raises:
        PedsegError: it is there.
    """
    if output.exists() and not overwrite:
        raise PedsegError(f"{output} exists; give another --output, or --overwrite")


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401  (whatever JSON holds)
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> Any:  # noqa: ANN401  (whatever JSON holds)
    """Read JSON.

    Raises:
        PedsegError: the file is absent, unreadable or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PedsegError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise PedsegError(f"{path}: not readable as JSON ({error}); restore or remove it") from error


def safe_name(name: str) -> str:
    """Return `name` if it can be one component of a path, whatever data it came from.

    Raises:
        PedsegError: it is empty, starts with a dot, or holds a separator or a control character.
    """
    if not name or name.startswith(".") or any(c in "/\\:" or ord(c) < 32 for c in name):  # noqa: PLR2004  (control)
        raise PedsegError(f"{name!r} cannot be a file name; rename the case without '/', '\\', ':' or a leading dot")
    return name
