"""Let the C library keep the memory of large tensors from one pass through a network to the next."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # parameters of glibc's mallopt (malloc.h)
DEFAULT_TRIM, DEFAULT_MMAPS = 128 * 1024, 65536  # what they are at first
NEVER, NONE = -1, 0

_lock = threading.Lock()
_users = 0


@contextmanager
def reused_memory() -> Iterator[None]:
    """Keep what is freed for the next allocation, for as long as the context lasts; then give it back.

    glibc takes every large tensor fresh from the kernel, which fills it with zeros page by page: at 128³ voxels and
    full width up to a third of a forward pass on one core, and as much of a training step. Nothing that is computed
    changes. Contexts may overlap, in one thread or several. Without glibc (macOS, musl) nothing happens.
    """
    _enter(+1)
    try:
        yield
    finally:
        _enter(-1)


def _enter(change: int) -> None:
    """Count those inside, and set the C library up for the first and back after the last."""
    global _users
    with _lock:
        before, _users = _users, _users + change
        if 0 in (before, _users):
            _keep(bool(_users))


def _keep(keep: bool) -> None:
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        return
    library.mallopt(MMAP_MAX, NONE if keep else DEFAULT_MMAPS)
    library.mallopt(TRIM_THRESHOLD, NEVER if keep else DEFAULT_TRIM)
    if not keep:
        library.malloc_trim(ctypes.c_size_t(0))
