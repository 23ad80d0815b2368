"""Write docs/memory.md: what a step takes on a GPU, computed, and on the CPU, computed and measured.

``make memory`` runs this, in minutes. Every measurement is a process of its own, of less than 2 GiB.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pedseg.files import write_text
from pedseg.hardware import Precision, describe_machine
from pedseg.planning.memory import CUDA_CONTEXT, prediction_memory, step_memory
from tests.planning.models import KINDS, build

PATCHES = (64, 96, 128, 160)
BATCHES = (2, 4, 8)
PRECISIONS: tuple[Precision, ...] = ("bf16", "32")
CASE = (150, 190, 160)  # voxels (z, y, x): about the largest brain of BraTS at 1 mm
NETWORKS = (
    ("unet", "unet", (128, 128, 128), 2),
    ("resenc_m", "residual_unet", (128, 128, 128), 2),
    ("resenc_l", "residual_unet", (160, 192, 160), 3),
    ("segresnet", "segresnet", (128, 128, 128), 2),
)
MEASURED = ((64, 2, 8), (64, 2, 16))  # patch, batch, width
GIB = 1 << 30
# Tensors of any size go back to the system when they are freed; glibc would keep those below 32 MB.
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0", "OMP_NUM_THREADS": "1"}

PAGE = """# Memory

What a training step and a prediction take. `pedseg train … --dry-run` says it for your own run, and measures
it where the run would be.

Made by `make memory` on {date}, {machine}.

## On a GPU: computed

GiB of tensors at the worst moment of a training step of nnU-Net's BraTS network (32 channels in the first stage, at
most 320) without deep supervision, with SGD and momentum. UDA is the paper's adversary: the batch is shared by both
domains, and the classifier is sized by the patch. **None of these figures was measured on a GPU**: they add up what
every operation makes until it is freed (`pedseg.planning`). Beside them come CUDA's context and cuDNN's workspaces,
about {context:.1f} GiB (an estimate), and what PyTorch's allocator keeps for later.

{steps}

Other networks (`model=`), supervised and with deep supervision, at the patch and batch that they are meant for:

{networks}

The prediction of a case of {case} voxels at the same patch sizes, one window at a time, GiB:

{predictions}

## On the CPU: computed and measured

MiB of {count} trainings with fewer channels, one thread. Measured is the peak of resident memory, less what was there
before, with an allocator that gives freed memory back at once
({setting}); as it comes, glibc keeps some of what tensors below 32 MB have left.
oneDNN's scratchpads are in what is measured and not in what is computed.

{measured}
"""


def steps_table() -> str:
    """Memory of training steps as Markdown, a row per patch and batch."""
    columns = [(kind, precision) for kind in KINDS for precision in PRECISIONS]
    lines = ["| patch | batch | " + " | ".join(f"{kind}, {name(precision)}" for kind, precision in columns) + " |"]
    lines.append("|---|---:|" + "---:|" * len(columns))
    for patch in PATCHES:
        modules = {kind: build(kind, patch=patch) for kind in KINDS}
        for batch in BATCHES:
            cells = []
            for kind, precision in columns:
                memory = step_memory(
                    modules[kind],
                    patch_size=(patch, patch, patch),
                    batch_size=batch,
                    two_sides=kind == "uda",
                    precision=precision,
                    gpu=True,
                    clip=12.0,
                )
                cells.append(f"{memory.peak / GIB:.1f}")
            lines.append(f"| {patch}³ | {batch} | {' | '.join(cells)} |")
            sys.stderr.write(f"{lines[-1]}\n")
    return "\n".join(lines)


def networks_table() -> str:
    """Memory of a training step of each file of conf/model as Markdown."""
    lines = ["| model | parameters | patch | batch | bf16 | float32 |", "|---|---:|---|---:|---:|---:|"]
    for model, network, patch, batch in NETWORKS:
        module = build("supervised", patch=patch, network_name=network, deep_supervision=True)
        peaks = [
            step_memory(
                module, patch_size=patch, batch_size=batch, two_sides=False, precision=precision, gpu=True, clip=12.0
            ).peak
            for precision in PRECISIONS
        ]
        count = sum(parameter.numel() for parameter in module.network.parameters())
        cells = [f"`{model}`", f"{count / 1e6:.1f} M", "×".join(map(str, patch)), str(batch)]
        lines.append(f"| {' | '.join([*cells, *(f'{peak / GIB:.1f}' for peak in peaks)])} |")
        sys.stderr.write(f"{lines[-1]}\n")
    return "\n".join(lines)


def predictions_table() -> str:
    """Memory of predictions as Markdown, a row per patch."""
    lines = [f"| patch | {' | '.join(map(name, PRECISIONS))} |", "|---|" + "---:|" * len(PRECISIONS)]
    for patch in PATCHES:
        network = build("supervised", patch=patch).network
        found = [
            prediction_memory(network, shape=CASE, window_batch=1, precision=precision, gpu=True)
            for precision in PRECISIONS
        ]
        lines.append(f"| {patch}³ | {' | '.join(f'{peak / GIB:.1f}' for peak in found)} |")
    return "\n".join(lines)


def measured_table(cases: Sequence[tuple[int, int, int]]) -> str:
    """Computed and measured growth as Markdown, a row per kind of training."""
    lines = ["| patch | batch | channels | training | computed MiB | measured MiB | ratio |"]
    lines.append("|---|---:|---:|---|---:|---:|---:|")
    for patch, batch, width in cases:
        for kind in KINDS:
            for precision in PRECISIONS:
                found = measure(kind, patch=patch, batch=batch, width=width, precision=precision)
                computed, measured = (found[key] / (1 << 20) for key in ("computed", "measured"))
                lines.append(
                    f"| {patch}³ | {batch} | {width} | {kind}, {name(precision)} | {computed:.0f} | {measured:.0f} | "
                    f"{computed / measured:.2f} |"
                )
                sys.stderr.write(f"{lines[-1]}\n")
    return "\n".join(lines)


def measure(
    kind: str, *, patch: int, batch: int, width: int, precision: Precision, network: str = "unet"
) -> dict[str, int]:
    """Computed and measured bytes of a step, in a process of its own."""
    sizes = map(str, (patch, batch, width))
    command = [sys.executable, "-m", "tests.planning.measured_step", kind, *sizes, precision, network]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **GIVE_BACK})
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def name(precision: Precision) -> str:
    """How the page calls a precision."""
    return "float32" if precision == "32" else precision


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description="Write docs/memory.md.")
    parser.add_argument("--output", type=Path, default=Path("docs/memory.md"), help="default: %(default)s")
    arguments = parser.parse_args(argv)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    page = PAGE.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=describe_machine(),
        context=CUDA_CONTEXT / GIB,
        steps=steps_table(),
        networks=networks_table(),
        case="×".join(map(str, CASE)),
        predictions=predictions_table(),
        count=len(MEASURED) * len(KINDS) * len(PRECISIONS),
        setting="MALLOC_MMAP_THRESHOLD_=65536",
        measured=measured_table(MEASURED),
    )
    write_text(arguments.output, page)
    sys.stdout.write(f"{arguments.output}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
