"""Memory of the CPU's tensors between training steps."""

import ctypes

# Parameters of glibc's mallopt(3), by their numbers in malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_KEPT = 2**30  # bytes of a tensor whose memory is kept; larger ones still go back to the system
NEVER = -1


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, for its next tensors; return whether the C library can.

    By default glibc hands the memory of each large tensor back to the system, which has to map it and to fill it with
    zeros, page by page, for the next one: up to a third of the time of a training step on the CPU. The values that are
    computed do not change. Nothing happens where the C library is another one, as on macOS.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return False
    return all([mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT), mallopt(M_TRIM_THRESHOLD, NEVER)])
