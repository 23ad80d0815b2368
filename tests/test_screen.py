"""What a run shows on screen: our own lines, and nothing of what it is built on."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

OWN = (  # a line begins with the time, is a bar of our own, or is one of Lightning's progress
    r"\d\d:\d\d:\d\d (.*/fold_0: |.* · epoch \d+/\d+ · |scores of)",
    r"predicting ",
    r"Epoch \d+/\d+ ",
)
TWO = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")


def screen(world: Path, runs: Path, *overrides: str, code: int = 0) -> list[str]:
    """Lines that the training command writes, of either stream."""
    paths = {"adult": world / "adult", "ped": world / "ped", "store": world / "store", "runs": runs}
    settings = ["scale=toy", "experiment=uda", *(f"paths.{name}={path}" for name, path in paths.items()), *overrides]
    done = subprocess.run(
        [sys.executable, "-m", "pedseg.train", *settings], capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip
    assert done.returncode == code, done.stderr[-3000:]
    return [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [(), TWO], ids=["one", "two"])
def test_only_our_own_lines(toy_world: Path, tmp_path: Path, processes: tuple[str, ...]) -> None:
    lines = screen(toy_world, tmp_path, "trainer.precision=32-true", *processes)
    assert [line for line in lines if not any(re.match(own, line) for own in OWN)] == []
    assert sum("s an epoch" in line for line in lines) == 1


@pytest.mark.slow
def test_batch_norms_of_cpus_are_refused_in_two_lines(toy_world: Path, tmp_path: Path) -> None:
    lines = screen(toy_world, tmp_path, "model.norm=batch", *TWO, code=2)
    assert any(line.startswith("pedseg: trainer.sync_batchnorm=true") for line in lines)
    assert not any("Traceback" in line for line in lines)
    assert not list(tmp_path.rglob("last.ckpt"))
