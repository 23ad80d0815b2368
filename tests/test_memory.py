"""The C library keeps memory inside the context, and gives it back after."""

import ctypes
import json
import platform
import subprocess
import sys
import threading

import pytest
import torch

from pedseg import memory
from pedseg.memory import reused_memory

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
# Pages that the kernel has to give for 64 MB, time after time; in a process of its own, whose heap has no gaps.
FAULTS = """
import json, resource, runpy, sys
reused_memory = runpy.run_path(sys.argv[1])["reused_memory"]
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytes([1]) * (64 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
with reused_memory():
    inside = [faults() for _ in range(4)]
print(json.dumps([inside, faults()]))
"""


@glibc
def test_memory_is_taken_once_inside_and_given_back_after() -> None:
    command = [sys.executable, "-c", FAULTS, str(memory.__file__)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    inside, after = json.loads(run.stdout)
    assert max(inside[1:]) < inside[0] / 10
    assert max(inside[1:]) < after / 10


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
