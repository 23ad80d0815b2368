"""The table that the README shows."""

import importlib.metadata
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from pedseg import __version__
from pedseg.hardware import describe_machine
from tests.benchmarks.gpu.jobs import Job, Result

HEAD = "| What | Program | Seconds | Waits for data | Peak on the GPU | Ratio |\n|---|---|---:|---:|---:|---:|\n"
NOTE = (
    "Seconds: median of {steps} training steps, end to end with the wait for the batch, or of {repeats} predictions. "
    "Ratio: to nnU-Net's first line of the same kind, of DDP to one card with the same batch per card. Waits: mean "
    "seconds that a step waits for its batch; ours include the augmentation on the GPU. uda trains 2 labelled "
    "and 2 unlabelled patches with the paper's classifier, m1_adult and nnU-Net 4 labelled ones with heads on all "
    "stages."
)


def page(
    jobs: Sequence[Job], results: Sequence[Result], *, size: str, seed: int, steps: int, repeats: int,
    left_out: Sequence[str], peers: Path | None,
) -> str:  # fmt: skip
    """Heading, table, notes: Markdown."""
    rows = [_row(job, result, baseline(job, jobs, results)) for job, result in zip(jobs, results, strict=True)]
    about = f"{datetime.now(UTC):%Y-%m-%d}; {describe_machine()}; {versions(peers)}; seed {seed}; size {size}"
    note = NOTE.format(steps=steps, repeats=repeats)
    skipped = "".join(f" Left out: {reason}." for reason in left_out)
    return f"{about}\n\n{HEAD}{''.join(rows)}\n{note}{skipped}\n"


def baseline(job: Job, jobs: Sequence[Job], results: Sequence[Result]) -> float | None:
    """Seconds of what a job is compared with; None if that was not measured."""

    def matches(other: Job) -> bool:
        if job.devices > 1:
            return replace(other, devices=job.devices, what=job.what) == job and other.devices == 1
        return other.program != "pedseg" and (other.kind, other.mirror) == (job.kind, job.mirror)

    found = (result.seconds for other, result in zip(jobs, results, strict=True) if matches(other))
    return next(found, None)


def _row(job: Job, result: Result, reference: float | None) -> str:
    if result.seconds is None:
        return f"| {job.what} | {job.program} | {result.failed.replace('|', '/')} | | | |\n"
    waits = "" if result.waits is None else f"{result.waits:.3f}"
    memory = "" if result.memory is None else f"{result.memory:.1f} GiB"
    ratio = "" if reference is None else f"{result.seconds / reference:.2f}"
    return f"| {job.what} | {job.program} | {result.seconds:.3f} | {waits} | {memory} | {ratio} |\n"


def versions(peers: Path | None) -> str:
    """Versions of what was measured."""
    own = [f"pedseg {__version__}", *(f"{name} {importlib.metadata.version(name)}" for name in ("lightning", "monai"))]
    if torch.version.cuda:
        own += [f"CUDA {torch.version.cuda}", f"cuDNN {_cudnn()}"]
    if peers is not None:
        asked = (
            "from importlib.metadata import version as v; print('nnunetv2', v('nnunetv2'), 'with torch', v('torch'))"
        )
        done = subprocess.run([peers, "-c", asked], capture_output=True, text=True, check=False)
        own += [done.stdout.strip()] if done.returncode == 0 else []
    return ", ".join(own)


def _cudnn() -> int | None:
    found: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return found
