"""One writer of a folder at a time, also on a network file system, and none that is gone.

Who writes a folder holds ``.pedseg-lock`` in it; who writes one file, ``.pedseg-lock-<name>`` beside it. The lock names
the host, the process and when it began, and is made by a hard link, which NFS does at once or not at all (``flock`` it
may not know). It goes when the command ends, also by an error or a signal. What kill -9 or a power cut leaves is seen:

- On the same machine by the process: it is gone, or its number is another's now, which began at another time.
- Elsewhere by silence: a holder touches its lock every `BEAT_S` seconds. Who comes second watches for `LOST_S` seconds,
  needs no common clock for that, and takes the lock over if it has not been touched. A job that SLURM has begun again
  takes it over from the job that it was, at once.

A holder that was stopped for so long that another took its lock over ends without another write.
"""

import errno
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pedseg.errors import PedsegError
from pedseg.files import read_text, temporary_of, tidy
from pedseg.holders import Holder, myself, runs

NAME = ".pedseg-lock"
BEAT_S = 15.0
LOST_S = 60.0
TRIES = 20  # to take a lock that others take and give back
PAUSE_S = 0.01  # while another process removes the lock of one that is gone
WITHOUT_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)  # what a file system says that has none
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Writer:
    """Whose lock lies in a folder.

    Attributes:
        who: that holds it.
        writes: whether it still does, as far as that can be told at once.
    """

    who: Holder
    writes: bool


def writer_of(folder: Path) -> Writer | None:
    """Who writes a folder, or did until it was killed; None if nobody does. Nothing is waited for or changed.

    Of a process on another machine the lock's age tells, by this machine's clock.
    """
    lock = folder / NAME
    who, own = _read(lock), myself()
    touched = _touched(lock)
    if touched is None:
        return None
    here = bool(who.key) and (who.host, who.numbers) == (own.host, own.numbers)
    return Writer(who, writes=runs(who) if here else time.time_ns() - touched < LOST_S * 1e9)


ANYBODY = asdict(Holder())


def is_lock(path: Path) -> bool:
    """Whether a file is a lock, and no content of its folder."""
    return path.name == NAME or path.name.startswith(f"{NAME}-")


@contextmanager
def writing(folder: Path, *, within: Sequence[str] = ()) -> Iterator[None]:
    """Hold the lock of a folder, which is created, and tidy what killed commands have left half written in it.

    A folder that the block leaves empty is removed again.

    Args:
        folder: that is written.
        within: patterns of folders below it in which files are written, too.

    Raises:
        PedsegError: another process writes the folder.
        OSError: it cannot be written.
    """
    with _held(folder / NAME, what=folder) as own:
        for place in (folder, *(path for pattern in within for path in folder.glob(pattern))):
            tidy(place, like=own)
        yield


@contextmanager
def writing_all(folders: Iterable[Path], *, within: Sequence[str] = ()) -> Iterator[None]:
    """Hold the locks of several folders, as `writing`."""
    with ExitStack() as stack:
        for folder in dict.fromkeys(folders):
            stack.enter_context(writing(folder, within=within))
        yield


@contextmanager
def writing_file(path: Path) -> Iterator[None]:
    """Hold the lock of one output that appears whole, as `writing`; its folder is created."""
    with _held(path.with_name(f"{NAME}-{path.name}"), what=path) as own:
        tidy(path.parent, like=own, name=path.name)
        yield


@contextmanager
def _held(lock: Path, *, what: Path) -> Iterator[Path]:
    made = _make_folder(lock.parent)
    own = myself()
    try:
        _take(lock, own, what)
        try:
            with _beating(lock, own):
                yield lock
        finally:
            if _read(lock).key == own.key:
                lock.unlink(missing_ok=True)
    finally:
        with suppress(OSError):  # they hold what the block has written
            for folder in made:
                folder.rmdir()


def _make_folder(folder: Path) -> list[Path]:
    """Create a folder and those above it; those that were made, the deepest first.

    Raises:
        PedsegError: a file is in the way.
    """
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        raise PedsegError(f"{nearest} is a file; give a folder, or another place")
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _take(lock: Path, own: Holder, what: Path) -> None:
    for _ in range(TRIES):
        if _placed(lock, own):
            return
        other = _read(lock)
        if not _is_gone(lock, other, own):
            break
        if lock.exists():
            log.warning("%s: taking over from %s, which is gone", what, other)
            _remove(lock, other)
    raise PedsegError(
        f"{what} is being written by {other}; wait for its end, or give another place. If that process is gone, and "
        f"only then, remove {lock}"
    )


def _placed(lock: Path, own: Holder) -> bool:
    """Whether the lock could be made."""
    text = json.dumps(asdict(own))
    temporary = temporary_of(lock)
    try:
        temporary.write_text(text, encoding="utf-8")
        os.link(temporary, lock)
    except FileExistsError:
        return _links(temporary) > 1  # NFS may have made it and lost the answer
    except FileNotFoundError:  # whoever holds the lock has tidied it away
        return False
    except OSError as error:
        if error.errno not in WITHOUT_LINKS:
            raise
        return _created(lock, text)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _links(path: Path) -> int:
    """Names of a file; 0 where it is gone."""
    try:
        return path.stat().st_nlink
    except FileNotFoundError:
        return 0


def _created(lock: Path, text: str) -> bool:
    try:
        with lock.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _remove(lock: Path, other: Holder) -> None:
    """Remove the lock of a holder that is gone, unless somebody was faster and it is another's by now.

    One process at a time does so: between a look at the lock and its removal nobody else can put another one there.
    """
    guard = lock.with_name(f"{lock.name}~")
    if not _created(guard, ""):
        time.sleep(PAUSE_S)
        began = _touched(guard)
        if began is not None and time.time_ns() - began > LOST_S * 1e9:  # of one that was killed in between
            guard.unlink(missing_ok=True)
        return
    try:
        if _read(lock).key == other.key:
            lock.unlink(missing_ok=True)
    finally:
        guard.unlink(missing_ok=True)


def _read(lock: Path) -> Holder:
    """Who holds a lock; nobody in particular where that cannot be read."""
    try:
        held = Holder(**json.loads(read_text(lock)))
        return held if all(type(value) is type(ANYBODY[name]) for name, value in asdict(held).items()) else Holder()
    except (PedsegError, ValueError, TypeError, RecursionError):
        return Holder()


def _is_gone(lock: Path, other: Holder, own: Holder) -> bool:
    if other.key and (other.host, other.numbers) == (own.host, own.numbers):
        return not runs(other)
    if own.job and own.job == other.job and own.restarts > other.restarts:
        return True
    return not _beats(lock, other)


def _beats(lock: Path, other: Holder) -> bool:
    """Watch whether a holder on another machine touches its lock."""
    before, deadline = _touched(lock), time.monotonic() + LOST_S
    if before is None:
        return False
    log.warning("%s: waiting up to %.0f s for a sign of life of %s", lock, LOST_S, other)
    while time.monotonic() < deadline:
        time.sleep(min(1.0, LOST_S / 10))
        now = _touched(lock)
        if now != before:
            return now is not None
    return False


def _touched(lock: Path) -> int | None:
    """When a lock was touched; None where it is gone. It is opened, so that NFS asks the server."""
    try:
        with lock.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None


@contextmanager
def _beating(lock: Path, own: Holder) -> Iterator[None]:
    """Touch the lock every `BEAT_S` seconds."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_S):
            with suppress(OSError):
                _beat(lock, own)

    thread = threading.Thread(target=beat, name="pedseg-lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _beat(lock: Path, own: Holder) -> None:
    """Touch the lock; end the process where another has it."""
    if not lock.exists():
        _placed(lock, own)
    other = _read(lock)
    if other.key in ("", own.key):
        os.utime(lock)
        return
    sys.stderr.write(f"pedseg: {lock} was taken over by {other}, as this process gave no sign of life; it ends\n")
    sys.stderr.flush()
    os._exit(2)
