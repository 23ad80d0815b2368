"""Freed memory is kept, where glibc is the C library."""

import platform
import subprocess
import sys

import pytest

from pedseg.networks.memory import keep_freed_memory

PROGRAM = """
import resource, sys, torch
from pedseg.networks.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensors = [torch.zeros(20_000_000) + 1.0 for _ in range(2)]
    del tensors
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_later_tensors_take_the_memory_of_earlier_ones() -> None:
    faults = {}
    for mode in ("keep", "default"):
        command = [sys.executable, "-c", PROGRAM, mode]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        faults[mode] = [int(line) for line in output.split()]
    assert min(faults["default"]) > 1000
    assert min(faults["keep"]) < 100


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert not keep_freed_memory()
