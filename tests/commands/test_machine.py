"""What the machine refuses ends a command with a message: no place, no room, no memory, nobody who reads."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pedseg.assembly.machine import check_environment
from pedseg.commands import train
from pedseg.commands.convert import main as convert
from pedseg.errors import PedsegError
from pedseg.exits import exit_code


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "out/x"), "out/x: No space left on device; make room"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), "out: Permission denied; give a place that may be"),
        (OSError(errno.EMFILE, "Too many open files", "out"), "ulimit -n"),
        (MemoryError("Unable to allocate 65 GiB"), "Unable to allocate 65 GiB"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"), "no disk left"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "free some"),
        (OSError(errno.ELOOP, "Too many levels of symbolic links", "labels"), "labels: Too many levels"),
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


def test_a_link_that_leads_to_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "labels").symlink_to("labels")
    assert exit_code(lambda: len((tmp_path / "labels").resolve().parts) * 0) in (0, 2)  # as Python has it
    assert "Traceback" not in capsys.readouterr().err


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
    code = "import sys; from pedseg.exits import exit_code; sys.exit(exit_code(lambda: print('x' * 99999)))"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-u", "-c", code], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert done.returncode == 141
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "runs/x"), 2, "runs/x: No space left"),
        (MemoryError("Unable to allocate 65 GiB"), 2, "Unable to allocate"),
        (PedsegError("a: is missing; restore it"), 2, "pedseg: a: is missing"),
    ],
)
def test_pedseg_speaks_before_hydra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: int, said: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(train, "_train", fail)
    monkeypatch.setenv("PEDSEG_ADULT", "a")
    assert train.main(["experiment=uda", "fold=0", "paths.ped=b", "trainer.fast_dev_run=1"]) == code
    err = capsys.readouterr().err
    assert said in err
    assert "overrides" not in err
    assert "Traceback" not in err


def test_a_signal_stops_a_job_with_a_word(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(train, "_train", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    assert train.main(["experiment=uda", "fold=0", "paths.ped=b", "trainer.fast_dev_run=1"]) == 130
    assert capsys.readouterr().err == "pedseg: stopped by SIGINT; the same command continues\n"


def test_wrong_options_are_no_orders_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        convert(["splits", "x", "--folds", "a\x1b[31mb", "--output", "y"])
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SLURM_NTASKS": "x"}, "SLURM_NTASKS='x'"),
        ({"WORLD_SIZE": "-1"}, "WORLD_SIZE='-1'"),
        ({"LOCAL_RANK": "3"}, "LOCAL_RANK=3"),
        ({"RANK": "1"}, "RANK=1"),
        ({"LOCAL_RANK": "3", "WORLD_SIZE": "4"}, None),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, None),
    ],
)
def test_the_environment_of_no_run(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if said is None:
        check_environment()
        return
    with pytest.raises(PedsegError, match=said):
        check_environment()


def test_a_library_that_stumbles_over_a_signal_does_not_have_the_last_word(capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> None:
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
        finally:
            raise PedsegError("data: is no number")

    assert exit_code(body) == 128 + signal.SIGUSR1
    assert capsys.readouterr().err == "pedseg: stopped by SIGUSR1; the same command continues\n"
