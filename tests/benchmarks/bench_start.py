"""How long a command takes before it does anything: ``--help``, imports, one tiny case, against floors.

Run as ``python -m tests.benchmarks.bench_start [--rounds 5]``. A floor is what the interpreter, or the one package that
cannot be done without, takes by itself. Every round runs everything once, and medians are compared; file caches are
warm.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import nibabel as nib
import numpy as np

from pedseg.hardware import describe_machine

COMMANDS = (
    "benchmark", "calibrate", "convert", "evaluate", "phantom", "postprocess", "predict", "prepare", "report", "train",
    "validate",
)  # fmt: skip
FLOORS = {
    "python": "pass",
    "hydra": "import hydra",
    "arrays": "import numpy, pandas, nibabel, scipy.spatial, scipy.ndimage",
    "figures": "import numpy, pandas, matplotlib.figure",
    "torch": "import torch",
    "torch, monai": "import torch, monai.networks.blocks.dynunet_block",
    "lightning": "import lightning.pytorch",
}
IMPORTS = {
    "pedseg.labels": "python",
    "pedseg.inference": "python",
    "pedseg.data.preparation": "arrays",
    "pedseg.evaluation.scoring": "arrays",
    "pedseg.evaluation.postprocessing.runs": "arrays",
    "pedseg.reporting.page": "figures",
    "pedseg.networks": "torch",
    "pedseg.inference.predictor": "torch",
    "pedseg.modules": "lightning",
    "pedseg.assembly": "lightning",
}
BARE_HYDRA = """
import hydra
@hydra.main(version_base="1.3", config_path=None)
def main(cfg): ...
main()
"""


class Task(NamedTuple):
    """A command line after ``python``, and the floor that it is compared with."""

    name: str
    arguments: Sequence[str]
    floor: str


class Cost(NamedTuple):
    """Seconds of one process and its children."""

    wall_s: float
    cpu_s: float


def write_world(world: Path) -> None:
    """One tiny case with a random network, and four label maps with labels."""
    rng = np.random.default_rng(0)
    for number in range(4):
        label = np.zeros((40, 40, 40), dtype=np.uint8)
        for value, size in ((2, 20), (1, 14), (3, 8)):
            label[(slice(8, 8 + size),) * 3] = value
        for folder, moved in (("labels", label), ("maps", np.roll(label, number, axis=0))):
            (world / folder).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(moved, np.eye(4)), world / folder / f"case{number}.nii.gz")
    (world / "cases" / "one").mkdir(parents=True)
    for modality in ("t1n", "t1c", "t2w", "t2f"):
        image = rng.integers(1, 900, (20, 18, 19)).astype(np.int16)
        nib.save(nib.Nifti1Image(image, np.eye(4)), world / "cases" / "one" / f"one-{modality}.nii.gz")
    program = (
        "import sys, torch; from pedseg.networks import UNet; "
        "network = UNet(patch_size=(16, 16, 16), base_features=4, max_features=8); s = network.settings; "
        "weights = {f'network.{k}': v for k, v in network.state_dict().items()}; "
        "about = {'version': '0', 'network': s, 'patch_size': s['patch_size'], 'spacing_mm': s['spacing_mm'], "
        "'regions': ['wt', 'tc', 'et']}; torch.save({'pedseg': about, 'state_dict': weights}, sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", program, str(world / "last.ckpt")], check=True)


def tasks(world: Path) -> list[Task]:
    """Everything that is measured beside the floors."""
    predict = ["--checkpoint", str(world / "last.ckpt"), "--input", str(world / "cases"), "--device", "cpu"]
    folders = ["--predictions", str(world / "maps"), "--labels", str(world / "labels"), "--workers", "1"]
    scores = ["--output", str(world / "scores.csv"), "--overwrite"]
    return [
        *(Task(f"{command} --help", ["-m", f"pedseg.{command}", "--help"], "python") for command in COMMANDS),
        Task("an empty Hydra application --help", ["-c", BARE_HYDRA, "--help"], "python"),
        Task("train experiment=uda --cfg job", ["-m", "pedseg.train", "experiment=uda", "--cfg", "job"], "hydra"),
        *(Task(f"import {module}", ["-c", f"import {module}"], floor) for module, floor in IMPORTS.items()),
        Task(
            "predict, input is missing",
            ["-m", "pedseg.predict", *predict, "--input", str(world / "nothing"), "--output", str(world / "out")],
            "python",
        ),
        Task(
            "predict, one case of 20³",
            ["-m", "pedseg.predict", *predict, "--output", str(world / "out"), "--overwrite", "--no-mirror"],
            "torch, monai",
        ),
        Task("evaluate, four cases of 40³", ["-m", "pedseg.evaluate", *folders, *scores], "arrays"),
    ]


def run(arguments: Sequence[str]) -> Cost:
    """Run Python to its end; a user's mistake, exit code 2, is an end as well.

    Raises:
        RuntimeError: it failed in another way.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 2):
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def measure(todo: Sequence[Task], *, rounds: int) -> dict[str, Cost]:
    """Run everything by turns; median wall and CPU time of each."""
    costs: dict[str, list[Cost]] = {task.name: [] for task in todo}
    for _ in range(rounds):
        for task in todo:
            costs[task.name].append(run(task.arguments))
    return {name: Cost(*(median(values) for values in zip(*some, strict=True))) for name, some in costs.items()}


def main() -> None:
    """Print a line for each floor, command and import."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", metavar="TEXT", help="only what has this in its name, and the floors")
    given = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="pedseg start ") as name:
        world = Path(name)
        write_world(world)
        floors = [Task(floor, ["-c", code], floor) for floor, code in FLOORS.items()]
        chosen = [task for task in tasks(world) if given.only in task.name]
        costs = measure([*floors, *chosen], rounds=given.rounds)
    print("| what | wall s | CPU s | floor | CPU over floor |\n|---|---:|---:|---|---:|")
    for task in (*floors, *chosen):
        cost, floor = costs[task.name], costs[task.floor]
        what = f"`{FLOORS[task.name]}`" if task.name in FLOORS else task.name
        print(f"| {what} | {cost.wall_s:.2f} | {cost.cpu_s:.2f} | {task.floor} | {cost.cpu_s / floor.cpu_s:.2f} |")


if __name__ == "__main__":
    main()
