"""``cluster=slurm``, through submitit and stand-ins for SLURM's own commands, with real trainings."""

import os
import re
import signal
from pathlib import Path

import pytest

from pedseg.files import read_json
from pedseg.runs import RunFolder
from tests.slurm import commands
from tests.test_signals import EPOCHS, LONG, NAME, running, wait_for, wait_for_text
from tests.training import assert_same_bits, spawn, train, weights

CLUSTER = (
    "-m", "cluster=slurm", "cluster.hours=1.5", "cluster.cores=1", "cluster.gpus=0", "cluster.memory_gb=8",
    "cluster.parallel=1", "cluster.warning_s=240", "cluster.partition=long", "trainer.accelerator=cpu",
)  # fmt: skip


def test_jobs_are_submitted_queued_again_when_time_runs_out_and_end(
    toy_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm, runs, log = tmp_path / "slurm", tmp_path / "runs", tmp_path / "log"
    monkeypatch.setenv("PATH", str(commands.install(slurm)), prepend=os.pathsep)
    with running(spawn(toy_world, runs, *LONG, *CLUSTER, "fold=0,1"), log) as process:
        wait_for(lambda: (slurm / "process_0").exists() or process.poll() is not None, what="a task")
        assert process.poll() is None, log.read_text()
        output = runs / ".slurm" / f"{commands.JOB}_0" / f"{commands.JOB}_0_0_log.out"
        wait_for(output.exists, what=str(output))
        wait_for_text(output, f"epoch 2/{EPOCHS} · seg")
        os.kill(int((slurm / "process_0").read_text()), signal.SIGUSR2)
        assert process.wait(240) == 0, log.read_text()
    text = output.read_text()
    assert "holds the last finished epoch" in text
    assert text.count("continuing at epoch") == 1
    for fold in (0, 1):
        folder = RunFolder(runs / NAME.replace("fold_0", f"fold_{fold}"))
        assert folder.finished.exists()
        assert read_json(folder.config)["machine"]["cores"] == 1
    asked = dict(re.findall(r"#SBATCH --([\w-]+)=(\S+)", (slurm / "batch.sh").read_text()))
    wanted = {"array": "0-1%1", "time": "90", "cpus-per-task": "1", "mem": "8GB", "partition": "long"}
    assert wanted.items() <= asked.items()
    assert asked["signal"] == "USR2@240"
    assert train(toy_world, tmp_path / "alone", *LONG) == 0
    assert_same_bits(weights(runs / NAME), weights(tmp_path / "alone" / NAME))


def test_a_cluster_is_for_sweeps(toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(toy_world, tmp_path, "experiment=uda", "cluster=slurm") == 2
    assert "add -m" in capsys.readouterr().err
    assert not list(tmp_path.rglob("config.json"))


@pytest.mark.parametrize(("asked", "mend"), [("gpus=4", "devices=4"), ("nodes=2", "num_nodes=2")])
def test_a_job_trains_with_what_it_asks_for(
    toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: str, mend: str
) -> None:
    """Refused in the job itself, here on this machine; each process would train the same run by itself."""
    command = ["-m", "cluster=local", "cluster.parallel=1", f"+cluster.{asked}", "experiment=uda"]
    assert train(toy_world, tmp_path, *command) == 2
    assert f"give trainer=ddp trainer.{mend}" in capsys.readouterr().err
