"""One writer at a time: real processes that hold locks, are killed, and come second."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pedseg import locks
from pedseg.errors import PedsegError
from pedseg.files import temporary_of
from pedseg.locks import NAME, writing, writing_all, writing_file
from pedseg.signals import stoppable

HOLD = """
import sys, time
from pathlib import Path
from pedseg import locks
from pedseg.signals import stoppable
locks.BEAT_S = 0.05
with stoppable(), locks.writing(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
COUNT = """
import sys, time
from pathlib import Path
from pedseg.errors import PedsegError
from pedseg.locks import writing
folder, counter = Path(sys.argv[1]), Path(sys.argv[2])
done = 0
while done < 20:
    try:
        with writing(folder):
            number = int(counter.read_text())
            time.sleep(0.001)
            counter.write_text(str(number + 1))
            done += 1
    except PedsegError:
        time.sleep(0.001)
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of a folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()


def elsewhere(folder: Path, **values: Any) -> Path:
    """The lock of a process on another machine."""
    folder.mkdir(exist_ok=True)
    lock = folder / NAME
    lock.write_text(json.dumps({"host": "other", "pid": 1, "command": "pedseg train", "key": "k", **values}))
    return lock


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    with holder(tmp_path / "run") as process:
        with pytest.raises(PedsegError, match=rf"is being written by .*process {process.pid} on .*remove .*{NAME}"):
            writing(tmp_path / "run").__enter__()
        with writing(tmp_path / "other"):
            pass
        process.terminate()
        assert process.wait() == 128 + signal.SIGTERM
        assert not (tmp_path / "run").exists()  # nothing was written: neither is a folder left
    with writing(tmp_path / "run"):
        (tmp_path / "run" / "a").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["a"]


def test_what_is_killed_is_followed_and_tidied(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with holder(tmp_path) as process:
        ours, staged, foreign = temporary_of(tmp_path / "a.nii.gz"), temporary_of(tmp_path / "b"), tmp_path / ".keep-me"
        inside = temporary_of(tmp_path / "cases" / "c")
        other = tmp_path / ".pedseg-12345678-d"
        ours.touch()
        foreign.touch()
        staged.mkdir()
        (staged / "image").touch()
        inside.mkdir(parents=True)
        other.touch()
        os.utime(other, (time.time() + 60,) * 2)  # younger than what follows: it is written now
        process.kill()
        time.sleep(0.05)  # nobody has waited for it yet: its number is still there
        with writing(tmp_path, within=("cases",)):
            pass
    assert {path.name for path in tmp_path.iterdir()} == {foreign.name, other.name, "cases"}
    assert not inside.exists()
    assert "is gone" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_files_of_others_are_not_tidied(tmp_path: Path) -> None:
    theirs = temporary_of(tmp_path / "a")
    theirs.touch()
    os.chown(theirs, 12345, 12345)
    with writing(tmp_path):
        pass
    assert theirs.exists()


def test_a_number_that_is_anothers_now_is_no_holder(tmp_path: Path) -> None:
    with holder(tmp_path):
        lock = tmp_path / NAME
        content = json.loads(lock.read_text())
    content |= {"pid": os.getpid(), "began": "1"}
    lock.write_text(json.dumps(content))
    with writing(tmp_path):
        pass
    assert not lock.exists()


def test_a_silent_holder_elsewhere_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LOST_S", 0.3)
    lock = elsewhere(tmp_path)
    with writing(tmp_path):
        assert json.loads(lock.read_text())["pid"] == os.getpid()
    lock.write_text("")  # of a host that had no room left for more
    with writing(tmp_path):
        pass


def test_a_living_holder_elsewhere_is_not(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        lock = tmp_path / NAME
        content = lock.read_text().replace('"host": "', '"host": "not-')
        lock.write_text(content)
        with pytest.raises(PedsegError, match=f"process {process.pid} on not-"):
            writing(tmp_path).__enter__()
        assert lock.read_text() == content


def test_a_job_that_is_begun_again_follows_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LOST_S", 600)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    elsewhere(tmp_path, job="7", restarts=0)
    with writing(tmp_path):
        pass


def test_no_two_hold_it_at_once(tmp_path: Path) -> None:
    """Four processes raise one number by turns, from a lock that was left behind."""
    counter, folder = tmp_path / "counter", tmp_path / "run"
    counter.write_text("0")
    with holder(folder) as process:
        process.kill()
    assert (folder / NAME).exists()
    command = [sys.executable, "-c", COUNT, str(folder), str(counter)]
    for running in [subprocess.Popen(command) for _ in range(4)]:
        assert running.wait() == 0
    assert counter.read_text() == "80"


def test_who_was_taken_for_dead_ends_without_another_write(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        lock = elsewhere(tmp_path)
        assert process.wait(10) == 2
    assert json.loads(lock.read_text())["host"] == "other"


def test_a_lock_that_was_removed_by_hand_is_made_again(tmp_path: Path) -> None:
    with holder(tmp_path):
        (tmp_path / NAME).unlink()
        deadline = time.monotonic() + 10
        while not (tmp_path / NAME).exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_file_system_without_hard_links_has_locks_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", link)
    with writing(tmp_path), pytest.raises(PedsegError, match="is being written"):
        writing(tmp_path).__enter__()
    assert not list(tmp_path.iterdir())


def test_files_and_several_folders(tmp_path: Path) -> None:
    old = temporary_of(tmp_path / "a.csv")
    other = temporary_of(tmp_path / "b.csv")
    old.touch()
    other.touch()
    with writing_file(tmp_path / "a.csv"), writing_file(tmp_path / "b.csv.gz"):
        with pytest.raises(PedsegError, match=r"a\.csv is being written"):
            writing_file(tmp_path / "a.csv").__enter__()
        assert (old.exists(), other.exists()) == (False, True)  # what is beside it may be written now
    first, second = tmp_path / "0", tmp_path / "1"
    with writing(second), pytest.raises(PedsegError, match="1 is being written"):
        writing_all([first, second]).__enter__()
    assert not first.exists()


def test_a_signal_frees_the_folder(tmp_path: Path) -> None:
    with pytest.raises(SystemExit), stoppable(), writing(tmp_path):
        signal.raise_signal(signal.SIGTERM)
    assert not list(tmp_path.iterdir())
