"""A real training step on the CPU: what the process grows by, beside what was computed. Linux alone.

Run: ``python -m tests.planning.measured_step uda 64 2 8 bf16 unet`` (kind, patch, batch, width, precision, network).
Prints both as JSON, in bytes. Without MALLOC_MMAP_THRESHOLD_ glibc keeps what tensors below 32 MB have left.
"""

import json
import logging
import sys
import warnings
from functools import partial
from pathlib import Path

import torch

from pedseg.hardware import Precision
from pedseg.modules import SegmentationModule
from pedseg.planning.memory import make_batch, ready, step_memory, train_step
from tests.planning.models import build

STEPS = 2
CLIP = 12.0
SMALL = 32  # patch of the steps that load kernels


def resident(field: str) -> int:
    """Resident bytes of this process: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024


def run(module: SegmentationModule, *, patch: int, batch: int, two_sides: bool, precision: Precision) -> None:
    """Train `STEPS` steps on random patches."""
    optimizer = module.configure_optimizers()
    ready(module, optimizer)
    for number in range(STEPS):
        sides = make_batch((patch, patch, patch), batch, two_sides=two_sides, labelled=False)
        for side in sides.values():
            side["image"].normal_()
            if "label" in side:
                side["label"].random_(2)
        train_step(module, optimizer, sides, number=number, precision=precision, clip=CLIP)


def main() -> int:
    """Compute, measure, print."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.simplefilter("ignore")
    kind, (patch, batch, width) = sys.argv[1], map(int, sys.argv[2:5])
    precision: Precision = "bf16" if sys.argv[5] == "bf16" else "32"
    torch.manual_seed(0)
    two_sides = kind == "uda"
    made = partial(build, kind, width=width, network_name=sys.argv[6])
    module = made(patch=patch)
    computed = step_memory(
        module,
        patch_size=(patch, patch, patch),
        batch_size=batch,
        two_sides=two_sides,
        precision=precision,
        gpu=False,
        clip=CLIP,
    )
    run(made(patch=SMALL), patch=SMALL, batch=batch, two_sides=two_sides, precision=precision)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak
    before = resident("VmRSS")
    run(module, patch=patch, batch=batch, two_sides=two_sides, precision=precision)
    measured = resident("VmHWM") - before + computed.parameters  # which were there before
    sys.stdout.write(json.dumps({"computed": computed.peak, "measured": measured}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
