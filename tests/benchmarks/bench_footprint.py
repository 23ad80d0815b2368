"""Memory over many cases: ``python -m tests.benchmarks.bench_footprint WORLD [--cases 1000]``.

WORLD is the folder ``world`` that ``python -m tests.faults`` has made. One tiny case is predicted and scored under so
many names, and the resident memory of the process is printed for every hundredth of the label maps, or of its time.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

CASE = "BraTS-PED-90001-000"
RUN = "runs/uda/fold_1"


def fill(world: Path, place: Path, count: int) -> None:
    """Link the files of one case, and of its label, under many names."""
    for number in range(count):
        name = f"BraTS-PED-{number:05d}-000"
        (place / "cases" / name).mkdir(parents=True)
        for file in (world / "cases" / CASE).iterdir():
            os.link(file, place / "cases" / name / file.name.replace(CASE, name))
        (place / "labels").mkdir(exist_ok=True)
        os.link(world / "labels" / f"{CASE}.nii.gz", place / "labels" / f"{name}.nii.gz")


def memory_of(arguments: Sequence[str], done: Callable[[], float]) -> list[tuple[float, int]]:
    """Run a command, and return pairs of what was done and its resident MB.

    Raises:
        RuntimeError: it failed.
    """
    process = subprocess.Popen([sys.executable, "-m", "pedseg", *arguments], stdout=subprocess.DEVNULL)
    found: list[tuple[float, int]] = []
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        resident = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
        found += [(done(), int(resident[0]) // 1024)] if resident else []
        time.sleep(0.2)
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: exit code {process.returncode}")
    return found


def show(what: str, found: Sequence[tuple[float, int]], *, every: float) -> None:
    """Print a line with the memory at every step."""
    steps = {int(at // every): memory for at, memory in found}
    print(what, " ".join(f"{step * every:g}:{memory}" for step, memory in sorted(steps.items())), "(MB resident)")


def main() -> None:
    """Predict, then evaluate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("world", type=Path)
    parser.add_argument("--cases", type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.world.parent) as name:
        place = Path(name)
        fill(given.world, place, given.cases)
        out, run = place / "out", str(given.world / RUN)
        predict = ["predict", "--run", run, "--input", str(place / "cases"), "--output", str(out), "--no-mirror"]
        found = memory_of([*predict, "--device", "cpu"], lambda: len(list(out.glob("[!.]*.nii.gz"))))
        show("predict, by label maps:", found, every=given.cases / 10)
        began = time.monotonic()
        evaluate = ["evaluate", "--predictions", str(out), "--labels", str(place / "labels"), "--workers", "1"]
        found = memory_of([*evaluate, "--output", str(place / "scores.csv")], lambda: time.monotonic() - began)
        show("evaluate, by seconds:", found, every=max(found[-1][0] / 10, 0.1))


if __name__ == "__main__":
    main()
