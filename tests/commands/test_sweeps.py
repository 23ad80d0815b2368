"""Sweeps: every job is checked before the first begins, all are tried, and a table says what became of each."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pedseg.commands.jobs import STOPPED_EARLY
from tests.training import arguments, spawn, train

BAD_AND_GOOD = ("experiment=m2_ped", "optimizer.lr=1e30,0.01")
JOB = "m2_ped/optimizer.lr={}/fold_0"


def table(text: str) -> dict[str, str]:
    """What is said of each job."""
    rows = [line.partition("  ") for line in text.splitlines() if " · " not in line]
    return {job: " ".join(rest.split()) for job, _, rest in rows if "/fold_" in job and rest}


def test_all_jobs_are_tried_and_told_of(toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(toy_world, tmp_path, "-m", *BAD_AND_GOOD, "fold=0,7") == 2
    said = capsys.readouterr()
    told = table(said.out)
    assert list(told) == [f"m2_ped/optimizer.lr={lr}/fold_{fold}" for lr in ("1e+30", "0.01") for fold in (0, 7)]
    assert told["m2_ped/optimizer.lr=1e+30/fold_0"].startswith("failed the loss of epoch 1 is nan")
    assert told["m2_ped/optimizer.lr=0.01/fold_0"] == "finished"
    assert told["m2_ped/optimizer.lr=0.01/fold_7"].startswith("failed fold 7 is not in")
    assert said.out.splitlines()[-1] == "4 jobs: 1 finished, 3 failed"
    assert "pedseg: m2_ped/optimizer.lr=0.01/fold_7: fold 7 is not in" in said.err
    assert "Traceback" not in said.err


def test_stopped_jobs_are_no_failures(toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ("trainer.max_epochs=2", "trainer.max_steps=2", "fold=0,1")
    assert train(toy_world, tmp_path, "-m", "experiment=m2_ped", *more) == STOPPED_EARLY
    told = table(capsys.readouterr().out)
    assert len(told) == 2
    assert all(text.startswith("stopped stopped after epoch 1 of 2 (trainer.max_steps=2)") for text in told.values())


@pytest.mark.parametrize(
    ("swept", "said"),
    [
        (["experiment=m2_ped", "optimizer.lr=0.01,-1"], ["optimizer.lr=-1: should be greater than 0"]),
        (["experiment=uda", "adaptation.dann.alpha_max=1,-1"], ["adaptation.dann.alpha_max=-1: should be greater"]),
        (["experiment=m2_ped,m2_pedd"], ["experiment=m2_pedd is unknown; did you mean m2_ped?"]),
        (
            ["experiment=uda,m2_ped,m3_mixed", "data.cohorts.ped.labelled=no"],
            [f"experiment={name}: data.source.ped: trains with labels" for name in ("m2_ped", "m3_mixed")],
        ),
    ],
)
def test_no_job_begins_when_the_settings_of_one_are_wrong(
    toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], swept: Sequence[str], said: Sequence[str]
) -> None:
    assert train(toy_world, tmp_path, "-m", *swept) == 2
    error = capsys.readouterr().err
    assert all(text in error for text in said)
    assert len(error.splitlines()) == len(said)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_launchers_tell_the_same(toy_world: Path, tmp_path: Path, launcher: str) -> None:
    command = spawn(toy_world, tmp_path, "-m", f"hydra/launcher={launcher}", *BAD_AND_GOOD)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr[-3000:]
    told = table(done.stdout)
    assert told[JOB.format("1e+30")].startswith("failed the loss of epoch 1 is nan")
    assert told[JOB.format("0.01")] == "finished"


DIES = """
import os, sys
from pedseg.commands.hydra_entry import run_hydra
from pedseg.settings.run import RunSettings

def task(settings):
    if settings.fold == 1:
        os._exit(9)

if __name__ == "__main__":
    sys.exit(run_hydra(task, lambda: RunSettings, config_name="train", arguments=sys.argv[1:]))
"""


def test_a_worker_that_is_killed_is_a_failure(toy_world: Path, tmp_path: Path) -> None:
    """A job that leaves no word: its run folder tells that it has not ended."""
    script = tmp_path / "dies.py"
    script.write_text(DIES)
    given = spawn(toy_world, tmp_path / "runs", "-m", "cluster=local", "cluster.parallel=2", "experiment=m2_ped")[4:]
    command = [sys.executable, str(script), *given, "fold=0,1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr[-3000:]
    assert table(done.stdout)["m2_ped/fold_1"].startswith("failed has not ended (TerminatedWorkerError")


def test_a_signal_ends_with_the_table(toy_world: Path, tmp_path: Path) -> None:
    command = spawn(toy_world, tmp_path, "-m", "experiment=m2_ped", "fold=0,1", "trainer.max_epochs=1,2000")
    log = tmp_path / "log"
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, env=os.environ) as process:
        deadline = time.monotonic() + 240
        while "epoch 2/2000" not in log.read_text() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    told = table(log.read_text())
    assert told["m2_ped/trainer.max_epochs=1/fold_0"] == "finished"
    assert told["m2_ped/trainer.max_epochs=2000/fold_0"] == "stopped by a signal; the same command goes on"
    assert told["m2_ped/trainer.max_epochs=1/fold_1"].startswith("stopped")


@pytest.mark.parametrize(("cluster", "launcher"), [("local", "joblib"), ("slurm", "submitit_slurm")])
def test_a_launcher_that_is_not_installed_is_named_with_the_remedy(
    toy_world: Path, tmp_path: Path, cluster: str, launcher: str
) -> None:
    without = (
        "import hydra_plugins, runpy; hydra_plugins.__path__ = []; runpy.run_module('pedseg.train', {}, '__main__')"
    )
    command = [sys.executable, "-c", without, *arguments(toy_world, tmp_path, "-m", f"cluster={cluster}", "fold=0,1")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"pedseg: the launcher {launcher} is not installed; pip install 'pedseg[cluster]'\n"
