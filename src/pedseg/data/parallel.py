"""One job for many cases, in processes."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from multiprocessing import get_context
from typing import Literal, TypeVar

from rich.console import Console
from rich.progress import track

from pedseg.errors import PedsegError
from pedseg.hardware import cores
from pedseg.sinks import markup, show_visibly

MOST_WORKERS = 16  # each holds one case, about 300 MB
Item = TypeVar("Item")
Result = TypeVar("Result")
_shared: ContextVar[ProcessPoolExecutor | None] = ContextVar("shared", default=None)


def default_workers() -> int:
    """Processes to use: one per core that this process may run on, at most `MOST_WORKERS`."""
    return min(MOST_WORKERS, cores())


def workers_of(setting: int | Literal["auto"]) -> int:
    """Processes that a setting asks for."""
    return default_workers() if setting == "auto" else setting


@contextmanager
def shared_processes(workers: int) -> Iterator[None]:
    """Let all `run_parallel` inside use the same processes, each of which starts when it is first needed.

    Raises:
        PedsegError: processes cannot share anything on this machine.
    """
    if workers <= 1:
        yield
        return
    with _pool(workers) as pool:
        token = _shared.set(pool)
        try:
            yield
        finally:
            _shared.reset(token)


def run_parallel(
    job: Callable[[Item], Result], items: Sequence[Item], *, workers: int, description: str
) -> Iterator[Result]:
    """Map `job` over `items` in spawned processes, in order, with a progress bar; in this one if one worker is enough.

    The processes are those of `shared_processes` around the call, else they live as long as it. The jobs of preparation
    use one thread each, so workers do not compete for cores.
    """
    if not items:
        return
    if workers <= 1 or len(items) == 1:
        yield from _shown(map(job, items), description, len(items))
        return
    with _processes(min(workers, len(items))) as pool:
        yield from _shown(pool.map(job, items), description, len(items))


def _shown(results: Iterator[Result], description: str, total: int) -> Iterator[Result]:
    """The same with a progress bar, which leaves stdout to what a command is for."""
    return iter(track(results, description=markup(description), total=total, console=Console(stderr=True)))


@contextmanager
def _processes(workers: int) -> Iterator[ProcessPoolExecutor]:
    pool = _shared.get()
    if pool is not None:
        yield pool
        return
    with _pool(workers) as own:
        yield own


def _pool(workers: int) -> ProcessPoolExecutor:
    try:
        return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=show_visibly)
    except OSError as error:  # semaphores lie in /dev/shm
        raise PedsegError(
            f"processes beside this one cannot be started ({error.strerror}: is /dev/shm there, and may it be written "
            "to?); use one: workers=1, or --workers 1"
        ) from error
