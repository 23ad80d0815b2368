"""What a user can put right: the exceptions that entry points turn into a short message and exit code 2."""

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class PedsegError(Exception):
    """A mistake in files, settings or usage.

    The message names the file or the value, says what is wrong with it and what to do.
    """


class StoppedEarlyError(Exception):
    """A run has ended before its last epoch because it was asked to; the same command without that continues."""


class Severity(StrEnum):
    """How much a finding weighs, the gravest first.

    A problem keeps a case from being used; a warning is probably a mistake, and the case is used as it is; a note says
    what was done with it.
    """

    PROBLEM = "problem"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing found in one case, a row of the integrity table.

    Attributes:
        case: id of the case, or the folder where no case could be told.
        file: name of the file (or several) it was found in; may be empty.
        what: what is wrong, with the offending value.
        fix: what the user can do about it.
        severity: whether the case can be used in spite of it.
    """

    case: str
    file: str
    what: str
    fix: str
    severity: Severity = Severity.PROBLEM

    def __str__(self) -> str:
        """Return one line for logs."""
        where = f"{self.case} · {self.file}" if self.file else self.case
        weight = "" if self.severity is Severity.PROBLEM else f"{self.severity}: "
        return f"{weight}{where}: {self.what} → {self.fix}"


class ProblemsError(PedsegError):
    """Every problem of a cohort at once, so that a user mends them in one go.

    Attributes:
        problems: the rows of the table, in case order.
    """

    def __init__(self, summary: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join([summary, *(f"  {problem}" for problem in self.problems)]))


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)
TOO_MANY = (errno.EMFILE, errno.ENFILE)
KEPT = "What was finished is kept, and the same command continues"
UNLUCKY = (
    "can't allocate memory",
    "file write failed",
    "failed writing",
    "inline_container",
    "failed to map segment",
)  # what torch says of memory and disks


LOOP = "Symlink loop"  # what Python says of a link that leads to itself


def is_of_the_machine(error: BaseException) -> bool:
    """Whether an exception speaks of the machine (disk, memory, rights), not of a mistake in the program."""
    return isinstance(error, OSError | MemoryError) or (
        isinstance(error, RuntimeError | ImportError) and any(text in str(error) for text in (*UNLUCKY, LOOP))
    )


def told_of_the_machine(error: BaseException) -> str:
    """One line for an exception that speaks of the machine: the file, what went wrong, what is kept and what to do."""
    if LOOP in str(error):
        return f"{error}; remove that link, or let it lead to a folder or a file"
    if not isinstance(error, OSError):
        what = " ".join(str(error).split())[:200] or "no memory is left"
        return f"the machine has no memory or no disk left ({what}); free some. {KEPT}"
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}; {_remedy(error.errno)}. {KEPT}"


def _remedy(number: int | None) -> str:
    if number in NO_ROOM:
        return "make room on that disk, or give another place"
    if number in NO_RIGHT:
        return "give a place that may be read and written, or change its permissions"
    if number in TOO_MANY:
        return "raise the limit of open files (ulimit -n)"
    return "give another place, or mend this one"
