"""One job for many cases, in processes."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from rich.progress import track

from pedseg.hardware import cores

MOST_WORKERS = 16  # each holds one case, about 300 MB
Item = TypeVar("Item")
Result = TypeVar("Result")


def default_workers() -> int:
    """Processes to use: one per core that this process may run on, at most `MOST_WORKERS`."""
    return min(MOST_WORKERS, cores())


def run_parallel(
    job: Callable[[Item], Result], items: Sequence[Item], *, workers: int, description: str
) -> Iterator[Result]:
    """Map `job` over `items` in spawned processes, in order, with a progress bar; in this one if one worker is enough.

    The jobs of preparation use one thread each, so workers do not compete for cores.
    """
    if not items:
        return
    if workers <= 1 or len(items) == 1:
        yield from track(map(job, items), description=description, total=len(items))
        return
    with ProcessPoolExecutor(min(workers, len(items)), mp_context=get_context("spawn")) as pool:
        yield from track(pool.map(job, items), description=description, total=len(items))
