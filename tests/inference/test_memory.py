"""The C library keeps memory inside the context, and gives it back after."""

import ctypes
import platform
import resource
import threading

import pytest
import torch

from pedseg.inference import memory
from pedseg.inference.memory import reused_memory

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
VALUES = 16 << 20  # 64 MB, above any threshold that glibc sets by itself


def faults() -> int:
    """Pages that the kernel has to give for one large tensor."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(VALUES)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@glibc
def test_memory_is_taken_once_inside_and_given_back_after() -> None:
    with reused_memory():
        inside = min(faults() for _ in range(4))  # the first are fresh
    after = faults()  # what lies free has been given back, wherever it lies
    assert inside < after / 10


@glibc
def test_overlapping_contexts_last_until_the_last_one_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bool] = []
    monkeypatch.setattr(memory, "_keep", kept.append)
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with reused_memory():
            entered.set()
            leave.wait(30)

    def fails() -> None:
        with reused_memory():
            thread.start()
            assert entered.wait(30)
            raise KeyError

    thread = threading.Thread(target=other)
    with pytest.raises(KeyError):
        fails()
    assert kept == [True]
    leave.set()
    thread.join()
    assert kept == [True, False]


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    with reused_memory():
        assert torch.ones(3).sum() == 3
