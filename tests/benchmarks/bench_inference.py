"""Time the prediction of a whole case against nnU-Net's predictor, and the overhead of windows against MONAI's.

Run: ``python -m tests.benchmarks.bench_inference --base-features 8``, with ``--base-features 32 --rounds 1`` for
nnU-Net's BraTS network (minutes a case on one core), ``--box 128 128 128`` for a cut-out of a single window, and
``ONEDNN_MAX_CPU_ISA=AVX2`` for a CPU without bfloat16. The case is a real one where the reference material is at hand,
else a random one at 1 mm. Every candidate has its own process, with the same weights and windows, and reads the files,
predicts and writes the label map; candidates take turns. Ratios are of CPU seconds (medians), which do not count what
other processes take from a shared machine; wall clock is printed beside them.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import torch
from monai.inferers.inferer import SlidingWindowInferer
from torch import Tensor, nn

from pedseg import __version__
from pedseg.cases import Case, find_cases
from pedseg.hardware import describe_machine, fast_precision
from pedseg.imaging import read_images
from pedseg.imaging.brain import find_brain
from pedseg.inference.sliding_window import sliding_window_logits, window_starts
from pedseg.networks import UNet
from pedseg.networks.nnunet_keys import nnunet_keys
from tests.benchmarks.inference_worker import NNUNET, PEDSEG
from tests.conftest import find_peers_python, reference_folder
from tests.interop.nnunet.world import DATASET, plans

BRAIN = (140, 180, 142)  # a cropped BraTS brain
MODALITIES = ("t1n", "t1c", "t2w", "t2f")
CPU = torch.device("cpu")


class Turn(NamedTuple):
    """One case predicted: seconds of CPU and of wall clock, CPU seconds in the network, forward passes, peak MB."""

    cpu: float
    wall: float
    network: float
    passes: int
    peak: int


class Candidate:
    """A process that predicts the case whenever it is asked."""

    def __init__(self, python: str, program: str, job: Path, *, source: Path | None = None) -> None:
        environment = os.environ | {"nnUNet_compile": "f"}
        if source is not None:
            environment["PYTHONPATH"] = str(source)
        command = [python, "-c", program, str(job)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self.turns: list[Turn] = []

    def run(self) -> None:
        """Let it predict once, the others waiting."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        while line := self.process.stdout.readline():
            if line.startswith("{"):
                self.turns.append(Turn(**json.loads(line)))
                return
        raise SystemExit(f"{self.process.args!r} failed")

    def median(self, field: str) -> float:
        """Median over the turns."""
        return float(statistics.median(getattr(turn, field) for turn in self.turns))


def the_case(folder: Path, box: list[int] | None) -> Case:
    """A real case, cut to `box` voxels about the middle of its brain if given; a random one without real ones."""
    shared = reference_folder()
    if shared is not None and (shared / "real").is_dir():
        case = find_cases(shared / "real", cohort="adult", labelled=False).cases[-1]
        affine = np.eye(4)
        data = [volume.data for volume in read_images(case.images)]
    else:
        affine, generator = np.eye(4), np.random.default_rng(0)
        data = [generator.integers(1, 900, BRAIN).astype(np.int16) for _ in MODALITIES]
    brain, _ = find_brain(data)
    sizes = box or [side.stop - side.start for side in brain]
    middles = [(side.start + side.stop) // 2 for side in brain]
    cut = tuple(slice(max(m - n // 2, 0), max(m - n // 2, 0) + n) for m, n in zip(middles, sizes, strict=True))
    name = "BraTS-GLI-90001-000"
    (folder / name).mkdir(parents=True)
    for modality, volume in zip(MODALITIES, data, strict=True):
        kept = volume if box is None else volume[cut]
        nib.save(nib.Nifti1Image(np.ascontiguousarray(kept.T), affine), folder / name / f"{name}-{modality}.nii.gz")
    return find_cases(folder, cohort="adult", labelled=False).cases[0]


def write_checkpoint(path: Path, network: UNet) -> None:
    """As a run does."""
    description = {
        "version": __version__,
        "network": network.settings,
        "patch_size": network.settings["patch_size"],
        "spacing_mm": [1.0, 1.0, 1.0],
        "regions": ["wt", "tc", "et"],
    }
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save({"pedseg": description, "state_dict": weights}, path)


def write_job(folder: Path, name: str, case: Case, network: UNet, **values: Any) -> Path:
    """What a candidate needs to know."""
    patch = network.settings["patch_size"]
    own = network.state_dict()
    topology = network.topology
    content = plans(patch)
    content["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"] |= {
        "n_stages": len(topology.features),
        "features_per_stage": list(topology.features),
        "kernel_sizes": [list(kernel) for kernel in topology.kernels],
        "strides": [list(stride) for stride in topology.strides],
        "n_conv_per_stage": [2] * len(topology.features),
        "n_conv_per_stage_decoder": [2] * (len(topology.features) - 1),
    }
    job = {
        "input": str(case.images[0].path.parent.parent),
        "images": [str(image.path) for image in case.images],
        "output": str(folder / name),
        "checkpoint": str(folder / "last.ckpt"),
        "plans": content,
        "dataset": DATASET,
        "weights": {other: own[mine] for mine, other in nnunet_keys(network).items()},
        **values,
    }
    path = folder / f"{name}.pt"
    torch.save(job, path)
    (folder / name).mkdir()
    return path


def start_candidates(
    arguments: argparse.Namespace, folder: Path, case: Case, network: UNet
) -> Iterator[tuple[str, Candidate]]:
    """Yield those that were asked for, by name."""
    values = {"mirror": arguments.mirror, "threads": arguments.threads}
    peers = find_peers_python()
    if peers is not None and "nnU-Net" in (arguments.only or ["nnU-Net"]):
        yield "nnU-Net", Candidate(str(peers), NNUNET, write_job(folder, "nnU-Net", case, network, **values))
    sources = {"pedseg": None} | ({"baseline": arguments.baseline} if arguments.baseline else {})
    for (label, source), precision in itertools.product(sources.items(), sorted({"32", fast_precision(CPU).precision})):
        name = f"{label} {precision}"
        if name in (arguments.only or [name]):
            job = write_job(folder, name, case, network, precision=precision, **values)
            yield name, Candidate(sys.executable, PEDSEG, job, source=source)


def compare_cases(arguments: argparse.Namespace, folder: Path) -> None:
    """Print a line for each candidate."""
    case = the_case(folder / "in put", arguments.box)
    torch.manual_seed(0)
    network = UNet(patch_size=(arguments.patch,) * 3, base_features=arguments.base_features).eval()
    write_checkpoint(folder / "last.ckpt", network)
    brain = find_brain([volume.data for volume in read_images(case.images)])[0]
    sizes = [max(side.stop - side.start, arguments.patch) for side in brain]
    windows = len(window_starts(sizes, (arguments.patch,) * 3)) * (8 if arguments.mirror else 1)
    sys.stdout.write(
        f"brain of {' × '.join(str(s.stop - s.start) for s in brain)} voxels, {windows} windows of {arguments.patch}³ "
        f"{'with' if arguments.mirror else 'without'} mirroring, {arguments.base_features} features\n"
    )
    candidates = dict(start_candidates(arguments, folder, case, network))
    for _ in range(arguments.rounds):
        for name, candidate in candidates.items():
            candidate.run()
            sys.stderr.write(f"{name}: {candidate.turns[-1]}\n")
    for candidate in candidates.values():
        candidate.process.terminate()
    print_candidates(candidates, folder, windows)


def print_candidates(candidates: dict[str, Candidate], folder: Path, windows: int) -> None:
    """CPU seconds with the ratio to the first candidate, and the voxels that differ from pedseg's in float32.

    Without that one they are compared with the first candidate's.
    """
    maps = {name: np.asanyarray(nib.load(next((folder / name).glob("*.nii.gz"))).dataobj) for name in candidates}
    first = next(iter(candidates.values()))
    reference = maps["pedseg 32"] if "pedseg 32" in maps else next(iter(maps.values()))
    sys.stdout.write("  CPU s  ratio  (network, ratio)   wall s  peak MB  skipped  voxels that differ\n")
    for name, candidate in candidates.items():
        cpu, network = candidate.median("cpu"), candidate.median("network")
        differ = int((maps[name] != reference).sum())
        whole, part = cpu / first.median("cpu"), network / first.median("network")
        last = candidate.turns[-1]
        sys.stdout.write(
            f"{cpu:7.2f}  {whole:5.3f}  ({network:7.2f}, {part:5.3f})  {candidate.median('wall'):7.2f}  "
            f"{last.peak:7d}  {windows - last.passes:7d}  {differ:9d} of {maps[name].size:,}  {name}\n"
        )


class FirstChannels(nn.Module):
    """Costs next to nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a copy of three of the four channels (MONAI weights what it is given in place)."""
        return x[:, :3].clone()


def compare_overhead(rounds: int) -> None:
    """What is left is cutting, weighting and adding; the fastest call of each counts."""
    image = torch.randn(4, *BRAIN, generator=torch.Generator().manual_seed(0))
    network = FirstChannels()
    for patch in ((64,) * 3, (128,) * 3):
        inferer = SlidingWindowInferer(patch, sw_batch_size=1, overlap=0.5, mode="gaussian")
        runs: dict[str, Callable[[], Any]] = {
            "MONAI": partial(inferer, image[None], network),
            "pedseg": partial(sliding_window_logits, network, image, patch_size=patch, mirror=False),
        }
        best = dict.fromkeys(runs, float("inf"))
        for _ in range(rounds):
            for name, run in runs.items():
                start = time.process_time()
                with torch.inference_mode():
                    run()
                best[name] = min(best[name], time.process_time() - start)
        for name, seconds in best.items():
            text = f"{seconds:7.3f}  {seconds / best['MONAI']:5.3f}  {name}, overhead of windows of {patch[0]}³\n"
            sys.stdout.write(text)


def main() -> int:
    """Print the machine and the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patch", type=int, default=128)
    parser.add_argument("--base-features", type=int, default=8)
    parser.add_argument("--mirror", action="store_true")
    parser.add_argument("--box", type=int, nargs=3, help="cut the case to these voxels (z y x)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--baseline", type=Path, help="sources of another version of this package to compare with")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="candidates, such as nnU-Net and 'pedseg 32'")
    parser.add_argument("--no-overhead", action="store_true", help="leave the comparison with MONAI out")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sys.stdout.write(f"{describe_machine()}\n")
    with tempfile.TemporaryDirectory(prefix="bench inference ") as folder:
        compare_cases(arguments, Path(folder))
    if not arguments.no_overhead:
        compare_overhead(3 * arguments.rounds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
