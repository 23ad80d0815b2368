"""Which files of a folder a command wrote before, so that it replaces these and no others."""

from collections.abc import Iterable
from pathlib import Path

from pedseg.errors import PedsegError
from pedseg.files import read_json, write_json

NAME = ".pedseg-report.json"


def check_folder(folder: Path, names: Iterable[str], *, overwrite: bool) -> None:
    """Refuse to replace files that no report wrote.

    Args:
        folder: where the report goes; need not exist.
        names: files that will be written, relative to it.
        overwrite: replace them all the same.

    Raises:
        PedsegError: `folder` is a file, or one of the files is there and was written by something else.
    """
    if folder.exists() and not folder.is_dir():
        raise PedsegError(f"{folder} is a file; give a folder as --output")
    own = set(_recorded(folder))
    foreign = [name for name in names if (folder / name).exists() and name not in own]
    if foreign and not overwrite:
        raise PedsegError(
            f"{folder / foreign[0]} is there already, and no report wrote it; give another --output, or --overwrite"
        )


def record(folder: Path, written: Iterable[Path]) -> None:
    """Remember what was written, and remove what an earlier report wrote and this one did not."""
    names = sorted(path.relative_to(folder).as_posix() for path in written)
    for stale in sorted(set(_recorded(folder)) - set(names)):
        path = folder / stale
        if folder.resolve() in path.resolve().parents:
            path.unlink(missing_ok=True)
    write_json(folder / NAME, names)


def _recorded(folder: Path) -> list[str]:
    return [str(name) for name in read_json(folder / NAME)] if (folder / NAME).exists() else []
