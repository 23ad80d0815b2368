"""Training and prediction on a GPU against nnU-Net's own, as one Markdown table: ``make gpu``.

``python -m tests.benchmarks.gpu --device cpu --size toy`` runs the same code in a minute without a GPU, to show that it
runs; its seconds say nothing.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from pedseg.assembly.machine import TRAINER_NAMES
from pedseg.errors import PedsegError
from pedseg.exits import exit_code
from pedseg.files import write_text
from pedseg.hardware import fast_precision
from tests.benchmarks.gpu import peer, table
from tests.benchmarks.gpu.jobs import Job, Result, run
from tests.benchmarks.gpu.world import SIZES, Size, make_world, write_image
from tests.conftest import find_peers_python

OURS = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.gpu.ours"]


def parser() -> argparse.ArgumentParser:
    """Options of the command line."""
    p = argparse.ArgumentParser(prog="tests.benchmarks.gpu", description=__doc__)
    p.add_argument("--device", default="auto", choices=("auto", "cuda", "cpu"), help="default: %(default)s")
    p.add_argument("--size", default="full", choices=tuple(SIZES), help="default: %(default)s")
    p.add_argument("--steps", type=int, help="training steps that are measured, 2 or more (default: 100, toy 2)")
    p.add_argument("--devices", type=int, help="cards for the DDP line (default: all)")
    p.add_argument("--peers", type=Path, metavar="PYTHON", help="with nnunetv2 (default: that of make peers)")
    p.add_argument("--no-peers", action="store_true", help="leave nnU-Net out")
    p.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    p.add_argument("--output", type=Path, metavar="FILE", help="also write the table there")
    return p


def find_device(wanted: str) -> str:
    """The device to measure on.

    Raises:
        PedsegError: there is no GPU, and the CPU was not asked for.
    """
    if wanted == "cpu" or torch.cuda.is_available():
        return "cpu" if wanted == "cpu" else "cuda"
    raise PedsegError(
        "nothing was measured: this torch finds no CUDA device. Run it on a machine with an NVIDIA GPU and a torch "
        "built for it, or see that the code runs with --device cpu --size toy"
    )


def our_training(device: str) -> list[Job]:
    """The paper's model in every precision, and the supervised one that does what nnU-Net does."""
    fast = TRAINER_NAMES[fast_precision(torch.device(device)).precision]
    precisions = list(dict.fromkeys([fast, "bf16-mixed", "32-true", "16-mixed"]))
    if device == "cpu":
        precisions.remove("16-mixed")
    jobs = [_train("m1_adult", fast)]
    jobs += [_train("uda", precision) for precision in precisions]
    return jobs if device == "cpu" else [*jobs, replace(_train("uda", fast, note=", cudnn.benchmark"), benchmark=True)]


def _train(experiment: str, precision: str, *, devices: int = 1, note: str = "") -> Job:
    what = f"training step, {experiment}, {precision}{note}"
    return Job("train", "pedseg", what, precision=precision, experiment=experiment, devices=devices)


def our_prediction(device: str) -> list[Job]:
    """A case with and without mirroring in the fast precision, and in float32."""
    fast = fast_precision(torch.device(device)).precision
    jobs = []
    for precision, mirror in ((fast, False), (fast, True), ("32", False)):
        what = f"prediction{_mirrored(mirror)}, {precision}"
        job = Job("predict", "pedseg", what, precision=precision, mirror=mirror)
        tried = replace(job, what=f"{what}, cudnn.benchmark", benchmark=True)
        jobs += [job] if device == "cpu" else [job, tried]
    return list(dict.fromkeys(jobs))


def peer_jobs(device: str) -> list[list[Job]]:
    """nnU-Net as it runs by itself (compiled on a GPU), and not compiled; what may share a process is in one list."""
    kind = "float16 autocast" if device == "cuda" else "float32"
    plain = Job("train", "nnU-Net", f"training step, {kind}")
    compiled = replace(plain, what=f"{plain.what}, torch.compile", compile=True)
    predictions = [
        Job("predict", "nnU-Net", f"prediction{_mirrored(mirror)}, {kind}", mirror=mirror) for mirror in (False, True)
    ]
    return [[compiled], [plain], predictions] if device == "cuda" else [[plain], predictions]


def _mirrored(mirror: bool) -> str:
    return " with 8 mirrorings" if mirror else ""


class Measurements:
    """Jobs that have been run, and what they found.

    Args:
        folder: of the world.
        common: settings of all jobs.
    """

    def __init__(self, folder: Path, **common: object) -> None:
        self.folder = folder
        self.common = common
        self.jobs: list[Job] = []
        self.results: list[Result] = []

    def add(self, jobs: Sequence[Job], program: Sequence[str | Path], **settings: object) -> None:
        """Run jobs in a process of their own."""
        for job in jobs:
            print(f"measuring {job.program}: {job.what}", file=sys.stderr)
        self.jobs.extend(jobs)
        self.results.extend(run(program, jobs, self.folder, **self.common, **settings))


def measure(arguments: argparse.Namespace, device: str, size: Size, folder: Path) -> tuple[str, int]:
    """Make the data, run all jobs, and return the page and how many jobs failed."""
    peers = None if arguments.no_peers else arguments.peers or find_peers_python()
    common = {"device": device, "size": arguments.size, "steps": arguments.steps, "seed": arguments.seed}
    done = Measurements(folder, **common)
    left_out: list[str] = []
    print(f"making synthetic cohorts of {size.cases} cases each", file=sys.stderr)
    make_world(folder, size, seed=arguments.seed)
    write_image(folder)
    if peers is None:
        left_out.append(f"nnU-Net ({'--no-peers' if arguments.no_peers else 'no environment with it: make peers'})")
    else:
        for group in peer_jobs(device):
            done.add(group, [peers, "-P", peer.PROGRAM], **peer.settings(folder, size, device))
    done.add([*our_training(device), *our_prediction(device)], OURS)
    devices = arguments.devices or (torch.cuda.device_count() if device == "cuda" else 1)
    if devices > 1:
        fast = TRAINER_NAMES[fast_precision(torch.device(device)).precision]
        done.add([_train("uda", fast, devices=devices, note=f", DDP on {devices}")], OURS)
    else:
        left_out.append("DDP, skipped: there is one device")
    page = table.page(
        done.jobs, done.results, size=arguments.size, seed=arguments.seed, steps=arguments.steps,
        repeats=size.repeats, left_out=left_out, peers=peers,
    )  # fmt: skip
    return page, sum(bool(result.failed) for result in done.results)


def benchmark(arguments: argparse.Namespace) -> int:
    """Measure and print; 1 if a job failed, which the table then says.

    Raises:
        PedsegError: there is no GPU, or an option cannot be used.
    """
    device = find_device(arguments.device)
    size = SIZES[arguments.size]
    arguments.steps = arguments.steps or size.steps
    if arguments.steps < 2:
        raise PedsegError(f"--steps {arguments.steps} must be 2 or more")
    with tempfile.TemporaryDirectory(prefix="pedseg gpu ") as name:
        page, failed = measure(arguments, device, size, Path(name))
    print(page)
    if arguments.output:
        write_text(arguments.output, page)
    return 1 if failed else 0


def main(given: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    arguments = parser().parse_args(given)
    return exit_code(lambda: benchmark(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
