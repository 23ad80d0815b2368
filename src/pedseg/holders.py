"""Who holds a lock: a process on a machine, told from others of its number, and whether it still runs."""

import os
import socket
import sys
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock.

    Attributes:
        host: name of the machine.
        numbers: what the number of a process is unique in: the machine since it was started, and the container.
        pid: number of the process.
        began: when the process began, in clock ticks of the machine; empty where that is not known.
        command: what it does.
        since: when it took the lock, UTC.
        job: of SLURM; empty outside.
        restarts: how often that job has been begun again.
        key: of this lock alone.
    """

    host: str = "?"
    numbers: str = ""
    pid: int = 0
    began: str = ""
    command: str = "?"
    since: str = "?"
    job: str = ""
    restarts: int = 0
    key: str = ""

    def __str__(self) -> str:
        """Return who it is, for messages."""
        return f"{self.command} ({self.process})"

    @property
    def process(self) -> str:
        """Its process alone."""
        return f"process {self.pid} on {self.host} since {self.since}"


def myself() -> Holder:
    """This process."""
    return Holder(
        host=socket.gethostname(),
        numbers=_numbers(),
        pid=os.getpid(),
        began=_began(os.getpid()),
        command=_command(),
        since=datetime.now(tz=UTC).isoformat(timespec="seconds"),
        job=os.environ.get("SLURM_JOB_ID", ""),
        restarts=int(restarts) if (restarts := os.environ.get("SLURM_RESTART_COUNT", "")).isdecimal() else 0,
        key=uuid.uuid4().hex,
    )


def _command() -> str:
    """The verb alone: arguments may hold names of patients."""
    module = getattr(getattr(sys.modules.get("__main__"), "__spec__", None), "name", None) or Path(sys.argv[0]).name
    return str(module).removesuffix(".__main__").replace(".", " ") or "python"


def _numbers() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _began(pid: int) -> str:
    """When a process began; empty where that is not known, "ended" for one that waits for its parent to notice."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    state, *fields = text.rpartition(")")[2].split()
    return "ended" if state in "ZX" else fields[18]  # the 22nd of all


def runs(other: Holder) -> bool:
    """Whether a process of this machine is still there."""
    try:
        os.kill(other.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    now = _began(other.pid)
    return not (now and other.began and now != other.began)
