"""Time two trainings side by side on this machine against the same two one after the other.

Run: ``python -m tests.benchmarks.bench_side_by_side``. Whole commands with default settings, as two people (or two
terminals) start them: neither knows of the other. A ratio above 1 means that they are in each other's way. The same as
jobs of one sweep (``cluster=local``), which share the cores, is the last row.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pedseg.hardware import describe_machine

EXPERIMENTS = ("m1_adult_fold", "uda")


def make_world(folder: Path) -> None:
    """A few synthetic cases at 4 mm, prepared."""
    run(
        [
            sys.executable,
            "-m",
            "pedseg.phantom",
            "--output",
            str(folder),
            "--adults",
            "8",
            "--children",
            "8",
            "--spacing",
            "4",
        ]
    )
    run([sys.executable, "-m", "pedseg.prepare", "scale=demo", *paths(folder)])


def paths(folder: Path) -> list[str]:
    """Overrides that name the cohorts in `folder`."""
    return [f"paths.{name}={folder / name}" for name in ("adult", "ped", "store")]


def run(command: Sequence[str]) -> None:
    """Run a command to its end, silently."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())


def environment() -> dict[str, str]:
    """This one, with nothing said about threads."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}


def main() -> int:
    """Print seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_world(folder)
        seconds: dict[str, list[float]] = {"one after the other": [], "side by side": [], "jobs of a sweep": []}
        for number in range(arguments.rounds):
            for way, times in seconds.items():
                times.append(measure(way, folder, folder / f"{way} {number}", steps=arguments.steps))
    floor = statistics.median(seconds["one after the other"])
    for way, times in seconds.items():
        median = statistics.median(times)
        print(f"{median:8.1f} s  {median / floor:5.2f}  {way}")
    return 0


def measure(way: str, folder: Path, runs: Path, *, steps: int) -> float:
    """Seconds of both trainings, in one way."""
    shared = ["scale=demo", *paths(folder), f"paths.runs={runs}", f"trainer.limit_train_batches={steps}"]
    command = [sys.executable, "-m", "pedseg.train", *shared, "trainer.max_epochs=1"]
    began = time.perf_counter()
    if way == "jobs of a sweep":
        run([*command, "-m", "cluster=local", f"experiment={','.join(EXPERIMENTS)}"])
    elif way == "side by side":
        started = [
            subprocess.Popen(
                [*command, f"experiment={name}"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment(),
            )
            for name in EXPERIMENTS
        ]
        codes = [process.wait() for process in started]
        if any(codes):
            raise SystemExit("a training failed")
    else:
        for name in EXPERIMENTS:
            run([*command, f"experiment={name}"])
    return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
