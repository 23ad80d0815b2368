"""What is measured, by which program, and what came out."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LINES_OF_ERROR = 400  # characters of what a program said last


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement.

    Attributes:
        kind: "train" or "predict".
        program: "pedseg" or "nnU-Net".
        what: for the table.
        precision: of Lightning ("bf16-mixed") for a training, of `pedseg.hardware` ("bf16") for a prediction; nnU-Net
            takes its own.
        experiment: of pedseg, such as "uda".
        devices: cards that train together.
        benchmark: whether cuDNN tries which kernels are fastest.
        compile: whether nnU-Net's network and Dice go through torch.compile.
        mirror: whether eight mirrorings of each window are averaged.
    """

    kind: str
    program: str
    what: str
    precision: str = ""
    experiment: str = ""
    devices: int = 1
    benchmark: bool = False
    compile: bool = False
    mirror: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What a job found.

    Attributes:
        seconds: median of a training step with the wait for its batch, or of a prediction.
        waits: mean seconds that a step waited for its batch; None where there is none.
        memory: peak of the tensors on the GPU, in GiB; None on a CPU.
        failed: what went wrong; empty if nothing did.
    """

    seconds: float | None = None
    waits: float | None = None
    memory: float | None = None
    failed: str = ""


def run(program: Sequence[str | Path], jobs: Sequence[Job], folder: Path, **common: Any) -> list[Result]:
    """Let a program measure some jobs in a process of its own; one that fails leaves the others their results.

    Args:
        program: command; it is given a file of jobs and a file to write results to, one as soon as it is known.
        jobs: to measure.
        folder: of the world, for these files.
        common: of all jobs.
    """
    asked, found = folder / "jobs.json", folder / "results.json"
    asked.write_text(json.dumps({"jobs": [asdict(job) for job in jobs], "folder": str(folder), **common}))
    found.unlink(missing_ok=True)
    done = subprocess.run([*program, asked, found], capture_output=True, text=True, check=False)
    lines = found.read_text().splitlines() if found.exists() else []
    results = [Result(**json.loads(line)) for line in lines]
    said = (done.stderr.strip() or done.stdout.strip())[-LINES_OF_ERROR:].splitlines() or ["it said nothing"]
    missing = Result(failed=f"ended with exit code {done.returncode}: {said[-1]}")
    return [*results, *[missing] * (len(jobs) - len(results))]
