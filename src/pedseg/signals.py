"""Signals that end a command: what is finished is kept, and the exit code is the shell's 128 + n."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # Ctrl-C; kill, and a scheduler's end; a scheduler's warning
OF_SEVERAL = ("WORLD_SIZE", "MASTER_ADDR")  # variables of which several processes that know each other have one
SHELL_OFFSET = 128  # of the exit code of what a signal has ended


_received: list[int] = []


class Stopped(SystemExit):
    """A signal has asked the command to end. Where nothing catches it, the process ends with 128 + n.

    Attributes:
        signal: which one.
    """

    def __init__(self, number: int) -> None:
        super().__init__(SHELL_OFFSET + number)
        self.signal = signal.Signals(number)
        self._told = False

    def tell(self) -> None:
        """Say once on stderr how to go on; processes beside the first say nothing."""
        if not self._told and not is_helper_process():
            sys.stderr.write(f"pedseg: stopped by {self.signal.name}; the same command continues\n")
        self._told = True

    def __reduce__(self) -> tuple[type["Stopped"], tuple[int]]:
        return Stopped, (int(self.signal),)


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Stopped` in this block when the first of `STOPS` arrives, and say on stderr how to go on.

    What is then on its way to the disk is not disturbed: another SIGTERM or SIGUSR1 is ignored, a second Ctrl-C is not.
    Blocks may lie in one another; the outer one does the work. Outside the main thread signals are left alone.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) is _stop:
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPS}
    _received.clear()
    for number in STOPS:
        signal.signal(number, _stop)
    try:
        yield
    except Stopped as stopped:
        stopped.tell()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def received() -> Stopped | None:
    """What has asked the command to end, for where something has caught it and failed by it; None if nothing has."""
    return Stopped(_received[0]) if _received else None


def ignore_stops() -> None:
    """Leave `STOPS` to the parent: for worker processes that it ends itself, or that end when it is gone.

    A terminal, `kill` on a process group and schedulers signal every process; workers that die of it would make the
    parent fail before it can keep anything.
    """
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def is_helper_process() -> bool:
    """Whether this is a process that rank 0 of a distributed run has started on its own machine."""
    return os.environ.get("LOCAL_RANK", "0") != "0" and any(name in os.environ for name in OF_SEVERAL)


def _stop(number: int, frame: FrameType | None) -> None:
    del frame
    _received.append(number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for other in STOPS[1:]:
        signal.signal(other, signal.SIG_IGN)
    raise Stopped(number)
