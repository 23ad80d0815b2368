"""Which files of a folder pedseg wrote, so that it replaces and removes these and no others.

``.pedseg-files.json`` in a folder lists them; a name that ends in ``/`` stands for all below. A file is listed before
it is written, so that a command that is killed leaves none that nobody knows.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pedseg.errors import PedsegError
from pedseg.files import check_place, read_json, write_json
from pedseg.locks import is_lock

NAME = ".pedseg-files.json"
SHOWN = 5  # names in a message
LONGEST = 255  # bytes of a name
log = logging.getLogger(__name__)


def own(folder: Path) -> frozenset[str]:
    """Names of the files that pedseg wrote into a folder, relative to it.

    Raises:
        PedsegError: the list is damaged.
    """
    path = folder / NAME
    names = read_json(path) if path.exists() else []
    if not isinstance(names, list) or not all(map(_is_name, names)):
        raise PedsegError(f"{path}: is no list of names; remove it, and pedseg removes none of the files beside it")
    return frozenset(names)


def _is_name(name: Any) -> bool:  # noqa: ANN401  (whatever JSON holds)
    """Whether a file can have this name."""
    try:
        return "\0" not in name and all(len(part) <= LONGEST for part in os.fsencode(name).split(b"/"))
    except (TypeError, UnicodeEncodeError):
        return False


def is_recorded(folder: Path) -> bool:
    """Whether it is known which files of a folder are pedseg's."""
    return (folder / NAME).exists()


def note(folder: Path, names: Iterable[str]) -> None:
    """List files that are going to be written, beside those that are listed.

    Raises:
        PedsegError: one could not be written.
    """
    names = set(names)
    check_places(folder, names)
    before = own(folder)
    now = before | names
    if now != before or not is_recorded(folder):
        write_json(folder / NAME, sorted(now))


def foreign(folder: Path, *, among: Iterable[str] | None = None) -> list[str]:
    """Files of a folder that pedseg did not write, in order.

    Args:
        folder: it need not exist.
        among: names to ask for; None for all that is in the folder and below.
    """
    listed = own(folder)
    if among is not None:
        return sorted(name for name in among if (folder / name).exists() and not _is_listed(name, listed))
    return sorted(name for name in _content(folder) if not _is_listed(name, listed))


def check_places(folder: Path, names: Iterable[str]) -> None:
    """Refuse names of files, or of folders with a slash behind, in whose place nothing can be written.

    Raises:
        PedsegError: there is one.
    """
    for name in names:
        check_place(folder / name / NAME if name.endswith("/") else folder / name)


def refuse_foreign(folder: Path, names: Iterable[str]) -> None:
    """Refuse to write files over those of others.

    Raises:
        PedsegError: one is there, and pedseg did not write it; or none could be written there.
    """
    names = list(names)
    check_places(folder, names)
    in_the_way = foreign(folder, among=names)
    if in_the_way:
        raise PedsegError(f"{folder}: {listing(in_the_way)} was not written by pedseg; move it away")


def check_folder(folder: Path, names: Iterable[str], *, overwrite: bool, within: str | None = None) -> None:
    """Refuse to replace files that no report wrote, and list those that will be.

    Args:
        folder: where the report goes; need not exist.
        names: files that will be written, relative to it.
        overwrite: replace them all the same.
        within: folder in it in which any name may be written.

    Raises:
        PedsegError: `folder` is a file, or one of the files is there and was written by something else.
    """
    if folder.exists() and not folder.is_dir():
        raise PedsegError(f"{folder} is a file; give a folder as --output")
    names = list(names)
    inside = [name for name in foreign(folder) if within and name.startswith(f"{within}/")]
    others = [*foreign(folder, among=names), *inside]
    if others and not overwrite:
        raise PedsegError(
            f"{folder / others[0]} is there already, and no report wrote it; give another --output, or --overwrite"
        )
    note(folder, [*names, *([f"{within}/"] if within and not inside else [])])


def record(folder: Path, written: Iterable[Path]) -> None:
    """List what was written, and remove what an earlier report wrote and this one did not."""
    names = {path.relative_to(folder).as_posix() for path in written}
    for stale in sorted(own(folder) - names):
        if not stale.endswith("/"):
            _remove(folder, stale)
    write_json(folder / NAME, sorted(names))


def clear(folder: Path, *, also: Iterable[str] = ()) -> None:
    """Remove what pedseg wrote into a folder, and the folder if that was all.

    Args:
        folder: it need not exist.
        also: names that are pedseg's without being listed.
    """
    listed = own(folder) | set(also)
    for name in sorted({*listed, *(name for name in _content(folder) if _is_listed(name, listed))}):
        _remove(folder, name)
    (folder / NAME).unlink(missing_ok=True)
    for path in sorted(folder.rglob("*/"), reverse=True):
        _remove_empty(path)
    _remove_empty(folder)


def name_left(folder: Path) -> None:
    """Say in the log which files stay where pedseg has removed its own."""
    left = foreign(folder)
    if left:
        log.warning("%s: %s stays, as pedseg did not write it", folder, listing(left))


def listing(names: list[str]) -> str:
    """The first of names, for a message."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _content(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if (path.is_symlink() or not path.is_dir()) and path.name != NAME and not is_lock(path):
            yield path.relative_to(folder).as_posix()


def _is_listed(name: str, listed: Iterable[str]) -> bool:
    return name in listed or any(one.endswith("/") and name.startswith(one) for one in listed)


def _remove(folder: Path, name: str) -> None:
    """Remove a file, unless its name leads out of the folder."""
    path = folder / name
    inside = path.parent.resolve()
    if name.endswith("/") or folder.resolve() not in (inside, *inside.parents):
        return
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
