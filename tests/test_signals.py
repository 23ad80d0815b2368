"""Real signals to real trainings: what is finished is kept, the exit code is the shell's, the command continues."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pedseg.files import read_json
from pedseg.inference.checkpoint import read_checkpoint
from pedseg.runs import RunFolder
from pedseg.signals import STOPS, Stopped, stoppable
from tests.training import assert_same_bits, rows, spawn, train, weights

EPOCHS = 6
LONG = (
    "experiment=uda", f"trainer.max_epochs={EPOCHS}", "trainer.limit_train_batches=12",
    "callbacks.checkpoint_every=100", "trainer.enable_progress_bar=false",
)  # fmt: skip
NAME = f"uda/trainer.limit_train_batches=12,trainer.max_epochs={EPOCHS}/fold_0"
PATIENCE_S = 240


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command in a session of its own, whose output goes to a file."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_for(condition: Callable[[], bool], *, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.02)


def wait_for_text(log: Path, text: str) -> None:
    wait_for(lambda: text in log.read_text(errors="replace"), what=f"{text!r} in\n{log.read_text(errors='replace')}")


@pytest.fixture(scope="module")
def whole(toy_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs folder of the training that nobody has stopped."""
    runs = tmp_path_factory.mktemp("whole")
    assert train(toy_world, runs, *LONG, "data.num_workers=1") == 0
    return runs


@pytest.mark.parametrize(("number", "group"), [(signal.SIGTERM, True), (signal.SIGUSR1, False), (signal.SIGINT, True)])
def test_a_stopped_training_keeps_its_last_epoch_and_continues(
    toy_world: Path, tmp_path: Path, whole: Path, number: signal.Signals, group: bool
) -> None:
    """The signal goes to the process, or to its loader worker too, as a terminal's and a scheduler's do."""
    log, folder = tmp_path / "log", RunFolder(tmp_path / "runs" / NAME)
    with running(spawn(toy_world, tmp_path / "runs", *LONG, "data.num_workers=1"), log) as process:
        wait_for_text(log, f"epoch 2/{EPOCHS} · seg")
        assert not folder.checkpoint.exists()
        (os.killpg if group else os.kill)(process.pid, number)
        assert process.wait(PATIENCE_S) == 128 + number
    text = log.read_text()
    assert text.count(f"pedseg: stopped by {number.name}; the same command continues") == 1
    assert "Traceback" not in text
    finished = int(read_checkpoint(folder.checkpoint)["epoch"]) + 1
    assert finished in (
        lines := text.count("source Dice"),
        lines - 1,
    )  # the signal may come before the line's epoch is kept
    assert train(toy_world, tmp_path / "runs", *LONG, "data.num_workers=1") == 0
    assert_same_bits(weights(folder.path), weights(whole / NAME))
    assert [row["epoch"] for row in rows(folder.metrics) if row["train/loss"]] == [str(e) for e in range(EPOCHS)]


def test_a_training_stopped_in_its_first_epoch_says_that_nothing_is_lost_or_kept(
    toy_world: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with running(spawn(toy_world, tmp_path / "runs", *LONG, "trainer.limit_train_batches=100000"), log) as process:
        wait_for_text(log, "step 2/100000")
        process.terminate()
        assert process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    assert "no epoch was finished" in log.read_text()
    assert "the same command continues" in log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_two_processes_stop_together(toy_world: Path, tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "log"
    distributed = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.precision=32-true")
    with running(spawn(toy_world, tmp_path / "runs", *LONG, *distributed), log) as process:
        wait_for_text(log, f"epoch 2/{EPOCHS} · seg")
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 128 + number
        wait_for(lambda: not group_members(process.pid), what="the other process has ended")
    assert log.read_text().count("the same command continues") == 1
    (checkpoint,) = (tmp_path / "runs").rglob("last.ckpt")
    assert int(read_checkpoint(checkpoint)["epoch"]) >= 0


def group_members(group: int) -> list[str]:
    listed = subprocess.run(["ps", "-o", "pid=,stat=", "-g", str(group)], capture_output=True, text=True, check=False)
    return [line for line in listed.stdout.splitlines() if " Z" not in line]


def test_a_job_that_a_scheduler_requeues_goes_on_by_itself(toy_world: Path, tmp_path: Path, whole: Path) -> None:
    """Submitit's local executor: its warning (SIGUSR2) ends the job, which is begun again and continues."""
    log, folder = tmp_path / "log", RunFolder(tmp_path / "runs" / NAME)
    launched = ("-m", "hydra/launcher=submitit_local", "hydra.launcher.timeout_min=30", "data.num_workers=1")
    with running(spawn(toy_world, tmp_path / "runs", *LONG, *launched), log) as process:
        jobs = tmp_path / "runs" / ".submitit"
        wait_for(lambda: bool(list(jobs.glob("*/*_log.out"))) or process.poll() is not None, what="a job")
        (output,) = jobs.glob("*/*_log.out")
        wait_for_text(output, f"epoch 2/{EPOCHS} · seg")
        os.kill(job_process(output), signal.SIGUSR2)
        assert process.wait(PATIENCE_S) == 0, log.read_text()
    text = output.read_text()
    assert "holds the last finished epoch" in text
    assert text.count("continuing at epoch") == 1
    assert folder.finished.exists()
    assert_same_bits(weights(folder.path), weights(whole / NAME))


def test_a_submitted_job_that_is_ended_keeps_its_last_epoch(toy_world: Path, tmp_path: Path) -> None:
    """SIGTERM, as of scancel; submitit itself would only note it and be killed."""
    log = tmp_path / "log"
    with running(spawn(toy_world, tmp_path / "runs", *LONG, "-m", "hydra/launcher=submitit_local"), log) as process:
        jobs = tmp_path / "runs" / ".submitit"
        wait_for(lambda: bool(list(jobs.glob("*/*_log.out"))) or process.poll() is not None, what="a job")
        (output,) = jobs.glob("*/*_log.out")
        wait_for_text(output, f"epoch 2/{EPOCHS} · seg")
        os.kill(job_process(output), signal.SIGTERM)
        assert process.wait(PATIENCE_S) != 0
    assert "holds the last finished epoch" in output.read_text()
    assert RunFolder(tmp_path / "runs" / NAME).checkpoint.exists()


def job_process(output: Path) -> int:
    """Process of the job that writes `output`: the child of submitit's controller, whose number names the folder."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children = [
        int(pid) for pid, parent in (line.split() for line in listed.splitlines()) if parent == output.parent.name
    ]
    return children[0]


def test_other_commands_end_with_the_shells_code_too(toy_world: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pedseg.phantom", "--output", str(tmp_path / "data"), "--adults", "400"]
    log = tmp_path / "log"
    with running([*command, "--workers", "1", "--spacing", "8"], log) as process:
        wait_for((tmp_path / "data" / "adult").exists, what="the first case")
        process.terminate()
        assert process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    assert "stopped by SIGTERM" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_a_stop_survives_the_way_between_processes() -> None:
    stopped = pickle.loads(pickle.dumps(Stopped(signal.SIGUSR1)))  # noqa: S301  (our own)
    assert (stopped.signal, stopped.code) == (signal.SIGUSR1, 128 + signal.SIGUSR1)


def test_handlers_are_put_back_and_later_signals_do_not_disturb(capsys: pytest.CaptureFixture[str]) -> None:
    before = [signal.getsignal(number) for number in STOPS]

    def save_while_signals_arrive() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGUSR1)

    with pytest.raises(Stopped) as stopped, stoppable(), stoppable():
        save_while_signals_arrive()
    assert stopped.value.signal is signal.SIGTERM
    assert [signal.getsignal(number) for number in STOPS] == before
    assert capsys.readouterr().err.count("stopped by SIGTERM") == 1


def test_the_config_says_where_and_how_a_run_is(whole: Path) -> None:
    machine = read_json(whole / NAME / "config.json")["machine"]
    assert machine["cores"] >= machine["threads"] >= 1
    assert "torch" in machine["device"]
