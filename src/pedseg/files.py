"""Files that are either whole or absent: write beside the destination, then rename."""

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from pedseg.errors import PedsegError

MEGA = 1e6
MOST_TEXT = 2**28  # bytes of a JSON or CSV file
TEMPORARY = re.compile(r"\.pedseg-[0-9a-f]{8}-(.+)")


def temporary_of(path: Path) -> Path:
    """A name in the folder of `path` for what is going to be `path`.

    It keeps the suffixes of `path` (``.nii.gz`` matters to nibabel) and begins with a dot, so that a listing of
    finished files never shows it.
    """
    return path.with_name(f".pedseg-{uuid.uuid4().hex[:8]}-{path.name}")


@contextmanager
def atomic_path(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` if the block succeeds.

    The folder is created. If the block raises, the temporary file is removed.

    Args:
        path: to write.
        durable: wait until the disk has it, so that a power cut cannot leave a file of zeros in its place: for what
            cannot be made again in minutes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_of(path)
    try:
        yield temporary
        if durable:
            _sync(temporary)
        os.replace(temporary, path)  # noqa: PTH105  (also replaces on every platform)
        if durable:
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of file systems that cannot
            raise
    finally:
        os.close(descriptor)


def tidy(folder: Path, *, like: Path, name: str | None = None) -> None:
    """Remove temporary files and folders that a killed command has left in `folder`.

    Args:
        folder: to look in; not below.
        like: a file that was made now, by this process: what is tidied has its owner and is older.
        name: of the one file whose temporary ones are meant; None for all.
    """
    own = like.stat()
    for path in folder.glob(".pedseg-*-*"):
        match = TEMPORARY.fullmatch(path.name)
        if not match or name not in (None, match[1]):
            continue
        with suppress(FileNotFoundError):
            left = path.lstat()
            if left.st_uid == own.st_uid and left.st_mtime_ns < own.st_mtime_ns:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def check_free(output: Path, *, overwrite: bool) -> None:
    """Refuse to replace an output that was not given up.

    Raises:
        PedsegError: it is there.
    """
    if output.exists() and not overwrite:
        raise PedsegError(f"{output} exists; give another --output, or --overwrite")


def check_place(path: Path) -> None:
    """Refuse a place in which no file can be written, before the work that leads to it.

    Raises:
        PedsegError: something else is in the way there or above, or what there is may not be written to.
    """
    if os.path.lexists(path) and not path.is_file() and path.exists():
        raise PedsegError(f"{path}: is in the way of a file of that name; move it away, or give another place")
    above = next(folder for folder in path.parents if os.path.lexists(folder))
    if not above.is_dir():
        raise PedsegError(f"{above}: is in the way of a folder of that name; move it away, or give another place")
    if not os.access(above, os.W_OK | os.X_OK):
        raise PedsegError(f"{above}: may not be written to; change its permissions, or give another place")


def check_room(folder: Path, needed: int, *, what: str) -> None:
    """Refuse a disk that has no room for what is going to be written.

    Args:
        folder: that it will lie in; need not exist.
        needed: bytes, at least.
        what: needs them, in the plural, for the message.

    Raises:
        PedsegError: fewer are free.
    """
    above = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(above).free
    if free < needed:
        raise PedsegError(
            f"{folder}: {what} need {needed / MEGA:,.0f} MB at least, and {free / MEGA:,.0f} MB are free there; make "
            "room, or give another place"
        )


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401  (whatever JSON holds)
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading. What is no regular file (a pipe, a device, a folder …) is refused and never waited for.

    Raises:
        PedsegError: it is absent, no regular file, or may not be read.
    """
    try:
        _check_regular(path, path.stat().st_mode)
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except FileNotFoundError as error:
        raise PedsegError(f"{path}: no such file; restore it, or leave it out") from error
    except (OSError, ValueError, RecursionError) as error:  # ValueError: a zero byte in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise PedsegError(f"{path}: cannot be read ({reason}); check the disk and the permissions") from error
    _check_regular(path, os.fstat(file.fileno()).st_mode)
    return file


def kind_of(mode: int) -> str:
    """What a path is that has this mode and is no regular file."""
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")


def _check_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise PedsegError(
            f"{path}: is a {kind_of(mode)}, and only files are read; put the file in its place, or remove it"
        )


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file.

    Raises:
        PedsegError: as `open_regular`, or it cannot be read to its end.
    """
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PedsegError(f"{path}: cannot be read ({error.strerror}); check the disk") from error


def read_text(path: Path, *, what: str = "text", fix: str = "restore or remove it") -> str:
    """Read a file of text in UTF-8.

    Args:
        path: the file.
        what: it is read as, for messages.
        fix: what to do where it is not.

    Raises:
        PedsegError: the file is absent, no regular file, unreadable, larger than `MOST_TEXT`, or holds other bytes.
    """
    try:
        with open_regular(path) as file:
            content = file.read(MOST_TEXT + 1)
        if len(content) > MOST_TEXT:
            raise PedsegError(f"{path}: has more than {MOST_TEXT} bytes, and no {what} has; restore or remove it")
        return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise PedsegError(f"{path}: not readable as {what} ({error}); {fix}") from error


def read_json(path: Path) -> Any:  # noqa: ANN401  (whatever JSON holds)
    """Read JSON.

    Raises:
        PedsegError: as `read_text`, or the file is no JSON.
    """
    try:
        return json.loads(read_text(path, what="JSON"))
    except (ValueError, RecursionError) as error:
        raise PedsegError(f"{path}: not readable as JSON ({error}); restore or remove it") from error


def safe_name(name: str) -> str:
    """Return `name` if it can be one component of a path, whatever data it came from.

    Raises:
        PedsegError: it is empty, starts with a dot, or holds a separator, a control character or what is no UTF-8.
    """
    if any("\ud800" <= c <= "\udfff" for c in name):  # what stands for bytes that are none (PEP 383)
        raise PedsegError(f"{name!r} is not in UTF-8, so it cannot be a file name everywhere; rename the case in UTF-8")
    if not name or name.startswith(".") or any(c in "/\\:" or ord(c) < 32 for c in name):  # noqa: PLR2004  (control)
        raise PedsegError(f"{name!r} cannot be a file name; rename the case without '/', '\\', ':' or a leading dot")
    return name
