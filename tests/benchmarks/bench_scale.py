"""Cost per case of the commands as a cohort grows from 100 to 2,000 cases: time, memory, and a figure of both.

Run as ``python -m tests.benchmarks.bench_scale [--cases 100 300 1000 2000] [--output scale.png]``. The volumes are of
24³ voxels in the official layout, so that what grows is mostly bookkeeping. Commands run in one process each (one
worker); time is CPU time of the process and its children, memory the largest sum of their resident sets.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd

from pedseg.hardware import describe_machine
from tests.composed import write_config

SIDE = 24
SMALL = 1000  # cases below which a command is repeated, as its start weighs as much as its cases
TRAINING = (
    "scale=toy", "experiment=uda", "fold=all", "data.spacing_mm=null", "trainer.max_epochs=1",
    "trainer.limit_train_batches=1", "trainer.limit_val_batches=1", "trainer.accelerator=cpu", "overwrite=true",
)  # fmt: skip


POLL_S = 0.02


class Cost(NamedTuple):
    """Of a process with its children."""

    wall_s: float
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Row:
    """Median cost of a command over cohorts of one size."""

    command: str
    cases: int
    cost: Cost


def case_id(number: int) -> str:
    """Adults and children by turns, a patient each."""
    return f"BraTS-{'GLI' if number % 2 == 0 else 'PED'}-{number:05d}-000"


def write_case(number: int, *, master: Path) -> None:
    """Write one case and a label map that is off by a voxel."""
    rng = np.random.default_rng(number)
    name, affine = case_id(number), np.diag([-1.0, -1.0, 1.0, 1.0])
    label = np.zeros((SIDE, SIDE, SIDE), dtype=np.uint8)
    z, y, x = rng.integers(5, 9, size=3)
    for value, size in ((2, 9), (1, 6), (3, 4)):
        label[z : z + size, y : y + size, x : x + size] = value
    brain = np.zeros(label.shape, dtype=bool)
    brain[2:-2, 2:-2, 2:-2] = True
    (master / "cases" / name).mkdir(parents=True)
    for modality in ("t1n", "t1c", "t2w", "t2f"):
        image = (rng.integers(100, 900, label.shape) + 400 * (label == 3) * (modality == "t1c")) * brain
        nib.save(nib.Nifti1Image(image.astype(np.int16), affine), master / "cases" / name / f"{name}-{modality}.nii.gz")
    nib.save(nib.Nifti1Image(label, affine), master / "cases" / name / f"{name}-seg.nii.gz")
    moved = np.roll(label, number % 3, axis=number % 2)
    nib.save(nib.Nifti1Image(moved, affine), master / "predictions" / f"{name}.nii.gz")


def link_world(world: Path, cases: int, *, master: Path) -> None:
    """Make a cohort of the first cases, as hard links."""
    for number in range(cases):
        name = case_id(number)
        folder = world / "data" / ("adult" if number % 2 == 0 else "ped") / name
        folder.mkdir(parents=True)
        for file in (master / "cases" / name).iterdir():
            os.link(file, folder / file.name)
        (world / "predictions").mkdir(exist_ok=True)
        os.link(master / "predictions" / f"{name}.nii.gz", world / "predictions" / f"{name}.nii.gz")


def write_run(world: Path) -> None:
    """Dress the label maps as a run of one fold beside a second model, whose scores differ a little."""
    fold = world / "runs" / "uda" / "fold_all"
    cohort = {"folder": str(world / "data"), "labelled": True, "convention": "brats2023"}
    data = {"synthetic": True, "evaluation": "ped", "cohorts": {"ped": cohort}, "target": ["ped"]}
    write_config(fold, run_name="uda", data=data)
    scores = pd.read_csv(world / "scores.csv")
    scores.to_csv(fold / "scores.csv", index=False)
    (fold / "predictions").symlink_to(world / "predictions")
    scores["dice"] *= 1 - 0.1 * np.random.default_rng(0).random(len(scores))
    scores.to_csv(world / "other.csv", index=False)


def steps(world: Path) -> list[tuple[str, list[str], Callable[[], None] | None]]:
    """Each command: what it is called here, its arguments, and what comes before it."""
    paths = [f"paths.{name}={world / 'data' / name}" for name in ("adult", "ped")]
    paths += [f"paths.{name}={world / name}" for name in ("store", "runs")]
    prepare = ["-m", "pedseg.prepare", "scale=toy", "data.spacing_mm=null", "workers=1", *paths]
    folders = ["--predictions", str(world / "predictions"), "--labels", str(world / "data")]
    scores = ["--output", str(world / "scores.csv"), "--overwrite", "--workers", "1"]
    return [
        ("check", [*prepare, "--check"], None),
        ("prepare", prepare, None),
        ("prepare again", prepare, None),
        ("train, one step", ["-m", "pedseg.train", *TRAINING, *paths, f"paths.runs={world / 'trained'}"], None),
        ("evaluate", ["-m", "pedseg.evaluate", *folders, *scores], None),
        (
            "report",
            ["-m", "pedseg.report", str(world / "runs"), str(world / "other.csv"), "--output", str(world / "report")],
            partial(write_run, world),
        ),
    ]


def cpu_of_children() -> float:
    """CPU seconds of all processes that have been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def resident_mb(process: int) -> float:
    """Resident sets of a process and everything below it, added up; 0 where there is no /proc, or it has ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
        children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    except OSError:
        return 0.0
    return pages * resource.getpagesize() / 1e6 + sum(resident_mb(int(child)) for child in children)


def run(command: Sequence[str]) -> Cost:
    """Run a command to its end and say what it cost.

    Raises:
        RuntimeError: it failed; the message holds the end of what it wrote.
    """
    before, began, peak = cpu_of_children(), time.perf_counter(), 0.0
    with tempfile.TemporaryFile() as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        while process.poll() is None:
            peak = max(peak, resident_mb(process.pid))
            time.sleep(POLL_S)
        wall = time.perf_counter() - began
        if process.returncode:
            output.seek(0)
            raise RuntimeError(
                f"{' '.join(command)} ended with {process.returncode}:\n{output.read().decode()[-2000:]}"
            )
    return Cost(wall, cpu_of_children() - before, peak)


def measure(cases: int, *, master: Path, folder: Path, repeats: int) -> list[Row]:
    """Run every command on fresh cohorts of `cases` cases, and take medians."""
    costs: dict[str, list[Cost]] = {}
    for attempt in range(repeats):
        world = folder / f"world {cases} {attempt}"
        link_world(world, cases, master=master)
        for name, arguments, before in steps(world):
            if before:
                before()
            cost = run([sys.executable, *arguments])
            print(f"{cases} cases, {name}: {cost.cpu_s:.2f} s CPU, {cost.peak_mb:.0f} MB", flush=True)
            costs.setdefault(name, []).append(cost)
    return [
        Row(name, cases, Cost(*(median(values) for values in zip(*found, strict=True))))
        for name, found in costs.items()
    ]


def marginal(rows: Sequence[Row]) -> list[float]:
    """CPU milliseconds that a further case costs, between neighbouring sizes."""
    return [1000 * (b.cost.cpu_s - a.cost.cpu_s) / (b.cases - a.cases) for a, b in pairwise(rows)]


def table(rows: Mapping[str, Sequence[Row]]) -> str:
    """A line for each command and size, then what a further case costs at either end."""
    lines = ["| command | cases | wall s | CPU s | peak MB | CPU ms per case |", "|---|---:|---:|---:|---:|---:|"]
    for name, some in rows.items():
        for row in some:
            c = row.cost
            per_case = 1000 * c.cpu_s / row.cases
            lines.append(
                f"| {name} | {row.cases} | {c.wall_s:.1f} | {c.cpu_s:.2f} | {c.peak_mb:.0f} | {per_case:.2f} |"
            )
    for name, some in rows.items():
        if len(some) > 2:
            slopes = marginal(some)
            kb = 1000 * (some[-1].cost.peak_mb - some[0].cost.peak_mb) / (some[-1].cases - some[0].cases)
            lines.append(
                f"\n{name}: a further case costs {slopes[0]:.2f} ms at {some[0].cases} cases, {slopes[-1]:.2f} ms at "
                f"{some[-1].cases}, ratio {slopes[-1] / slopes[0]:.2f}; {kb:.0f} kB"
            )
    return "\n".join(lines)


def draw(rows: Mapping[str, Sequence[Row]], path: Path) -> None:
    """Time that a further case costs, and the peak memory, against the number of cases."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    time_axes, memory_axes = figure.subplots(1, 2)
    for name, some in rows.items():
        cases = [row.cases for row in some]
        middle = [(a + b) / 2 for a, b in pairwise(cases)]
        time_axes.plot(middle, marginal(some), "o-", label=name)
        memory_axes.plot(cases, [row.cost.peak_mb for row in some], "o-", label=name)
    time_axes.set(xlabel="cases", ylabel="CPU ms of a further case", title="Time of a further case (level: linear)")
    memory_axes.set(xlabel="cases", ylabel="peak memory in MB", title="Peak memory of all processes")
    for axes in (time_axes, memory_axes):
        axes.grid(alpha=0.3)
    time_axes.axhline(0, color="black", linewidth=0.8)
    memory_axes.set_ylim(bottom=0)
    figure.legend(*memory_axes.get_legend_handles_labels(), loc="outside right center")
    figure.savefig(path, dpi=150)


def main() -> None:
    """Make the cohorts, run the commands, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, nargs="+", default=[100, 300, 1000, 2000])
    parser.add_argument("--repeats", type=int, default=3, help=f"of cohorts below {SMALL} cases")
    parser.add_argument("--output", type=Path, help="picture to write (PNG or SVG)")
    given = parser.parse_args()
    print(describe_machine())
    sizes = sorted(given.cases)
    rows: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory(prefix="pedseg scale ") as name:
        folder = Path(name)
        master = folder / "master"
        (master / "predictions").mkdir(parents=True)
        began = time.perf_counter()
        with ProcessPoolExecutor() as pool:
            list(pool.map(partial(write_case, master=master), range(sizes[-1]), chunksize=20))
        print(f"{sizes[-1]} cases written in {time.perf_counter() - began:.0f} s", flush=True)
        for cases in sizes:
            for row in measure(cases, master=master, folder=folder, repeats=given.repeats if cases < SMALL else 1):
                rows.setdefault(row.command, []).append(row)
    print(table(rows))
    if given.output:
        draw(rows, given.output)
        print(f"figure: {given.output}")


if __name__ == "__main__":
    main()
