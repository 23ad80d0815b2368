"""What the machine refuses ends a command with a message: no place, no room, no memory, nobody who reads."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pedseg.commands.convert import main as convert
from pedseg.commands.options import exit_code


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "out/x"), "out/x: No space left on device; make room"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), "out: Permission denied; give a place that may be"),
        (OSError(errno.EMFILE, "Too many open files", "out"), "ulimit -n"),
        (MemoryError("Unable to allocate 65 GiB"), "Unable to allocate 65 GiB"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"), "no disk left"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "free some"),
    ],
)
def test_a_message_and_no_traceback(error: Exception, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> None:
        raise error

    assert exit_code(body) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "the same command continues" in err


def test_a_mistake_of_the_program_is_none_of_the_machine() -> None:
    def body() -> None:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        exit_code(body)


def test_a_place_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cases" / "a").mkdir(parents=True)
    for name in ("t1n", "t1c", "t2w", "t2f"):
        (tmp_path / "cases" / "a" / f"a-{name}.nii.gz").touch()
    assert convert(["splits", str(tmp_path / "cases"), "--output", "/proc/nowhere/splits.json"]) == 2
    assert "pedseg: " in capsys.readouterr().err


def test_nobody_reads() -> None:
    code = "import sys; from pedseg.commands.options import exit_code; sys.exit(exit_code(lambda: print('x' * 99999)))"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-u", "-c", code], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert done.returncode == 141
    assert done.stderr == b""
