"""`make gpu` where there is no GPU: the same code at toy size on the CPU, and what it says without a device."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.benchmarks.gpu import table
from tests.benchmarks.gpu.__main__ import main, our_prediction, our_training, peer_jobs
from tests.benchmarks.gpu.jobs import Job, Result, run

TOY = ["--device", "cpu", "--size", "toy"]


def measure(output: Path, *options: str | Path) -> list[list[str]]:
    """Run the benchmark as `make gpu` does and return the cells of its rows."""
    command = [sys.executable, "-m", "tests.benchmarks.gpu", *TOY, "--output", output, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    page = output.read_text(encoding="utf-8")
    assert page in done.stdout
    assert "torch" in page.splitlines()[0]
    assert re.match(r"\d{4}-\d\d-\d\d; .*; seed 0; size toy", page)
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_same_code_at_toy_size(tmp_path: Path) -> None:
    """Two precisions of training, two of prediction; no memory of a GPU, and no peer to have a ratio to."""
    rows = measure(tmp_path / "gpu.md", "--no-peers")
    assert [row[0] for row in rows] == [job.what for job in (*our_training("cpu"), *our_prediction("cpu"))]
    for what, program, seconds, waits, memory, ratio in rows:
        assert program == "pedseg"
        assert float(seconds) > 0
        assert bool(waits) == what.startswith("training")
        assert memory == ratio == ""


@pytest.mark.slow
def test_the_same_code_against_nnunet_and_in_two_processes(peers_python: Path, tmp_path: Path) -> None:
    rows = measure(tmp_path / "gpu.md", "--peers", peers_python, "--devices", "2")
    assert [row[0] for row in rows if row[1] == "nnU-Net"] == [job.what for group in peer_jobs("cpu") for job in group]
    assert "DDP on 2" in rows[-1][0]
    assert all(float(row[2]) > 0 and float(row[5]) > 0 for row in rows)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("options", [[], ["--device", "auto"], ["--device", "cuda", "--size", "toy"]], ids=" ".join)
def test_nothing_is_measured_without_a_gpu(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "gpu.md"
    assert main([*options, "--output", str(output)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "nothing was measured: this torch finds no CUDA device" in printed.err
    assert "--device cpu --size toy" in printed.err
    assert not output.exists()


def test_one_step_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TOY, "--steps", "1"]) == 2
    assert "--steps 1 must be 2 or more" in capsys.readouterr().err


def test_ratios_are_to_the_peers_own_way_and_to_one_card() -> None:
    compiled, plain = Job("train", "nnU-Net", "compiled", compile=True), Job("train", "nnU-Net", "plain")
    mirrored = Job("predict", "nnU-Net", "mirrored", mirror=True)
    fast = Job("train", "pedseg", "uda", precision="bf16-mixed", experiment="uda")
    others = [replace(fast, what="tried", benchmark=True), replace(fast, what="float32", precision="32-true")]
    both = replace(fast, what="DDP", devices=2)
    jobs = [compiled, plain, mirrored, *others, fast, both]
    results = [Result(seconds=float(second)) for second in range(1, 8)]
    assert table.baseline(fast, jobs, results) == 1
    assert table.baseline(mirrored, jobs, results) == 3
    assert table.baseline(both, jobs, results) == 6
    assert table.baseline(Job("predict", "pedseg", "plain"), jobs, results) is None
    assert table.baseline(both, [both], results[:1]) is None


def test_a_job_that_fails_says_why_and_leaves_the_others_their_results(tmp_path: Path) -> None:
    jobs = [Job("train", "pedseg", "first"), Job("train", "pedseg", "second")]
    program = "import sys; open(sys.argv[2], 'w').write('{\"seconds\": 2.5}\\n'); sys.exit('no | memory')"
    results = run([sys.executable, "-c", program], jobs, tmp_path)
    assert results == [Result(seconds=2.5), Result(failed="ended with exit code 1: no | memory")]
    page = table.page(jobs, results, size="toy", seed=0, steps=2, repeats=1, left_out=["DDP"], peers=None)
    assert "| first | pedseg | 2.500 | | | |" in page.replace("|  |", "| |").replace("|  |", "| |")
    assert "| second | pedseg | ended with exit code 1: no / memory | | | |" in page
    assert "Left out: DDP." in page
