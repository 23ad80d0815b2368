"""How commands end: the exit code, and what is said where something went wrong."""

import os
import signal
import sys
from collections.abc import Callable

from pedseg.errors import PedsegError, is_of_the_machine, told_of_the_machine
from pedseg.hardware import sleep_while_waiting
from pedseg.signals import SHELL_OFFSET, Stopped, is_helper_process, received, stoppable
from pedseg.sinks import visible_streams

SOME_FAILED = 1
USAGE_ERROR = 2


def exit_code(body: Callable[[], int | None]) -> int:
    """Run the body of a command, whose words no terminal obeys, as `_exit_code` does."""
    with visible_streams():
        return _exit_code(body)


def _unless_stopped(body: Callable[[], int | None]) -> int | None:
    """Run a body; libraries that make an error of their own of a signal do not have the last word."""
    try:
        return body()
    except Exception as error:
        if stopped := received():
            raise stopped from error
        raise


def _exit_code(body: Callable[[], int | None]) -> int:
    """Run the body of a command: its exit code, 2 after a message for a `PedsegError`, 128 + n when signal n stops it.

    What the machine refuses (disk, memory, rights) is a message and 2, too; a reader of stdout that is gone is SIGPIPE.
    Processes of a distributed run beside the first end with 0 then: it is the first that speaks for the run.
    """
    sleep_while_waiting()
    try:
        with stoppable():
            return _unless_stopped(body) or 0
    except PedsegError as error:
        sys.stderr.write(f"pedseg: {error}\n")
        return USAGE_ERROR
    except Stopped as stopped:
        stopped.tell()
        return 0 if is_helper_process() else int(stopped.code or 0)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to be flushed into the pipe
        return SHELL_OFFSET + signal.SIGPIPE
    except (OSError, MemoryError, RuntimeError, ImportError) as error:
        if not is_of_the_machine(error):
            raise
        sys.stderr.write(f"pedseg: {told_of_the_machine(error)}\n")
        return USAGE_ERROR
