"""What a run takes from the machine that it is on: device, precision and cores, decided once and kept in its config."""

import logging
import os
from typing import Literal, NamedTuple

import torch

from pedseg.errors import PedsegError
from pedseg.hardware import Precision, cores, describe_machine, fast_precision, share_cores
from pedseg.settings.following import Machine
from pedseg.settings.run import RunSettings
from pedseg.settings.training import TrainerPrecision
from pedseg.signals import OF_SEVERAL

log = logging.getLogger(__name__)

RANKS = ("LOCAL_RANK", "RANK", "NODE_RANK", "SLURM_PROCID", "SLURM_LOCALID")
NUMBERS = ("WORLD_SIZE", "MASTER_PORT", "SLURM_NTASKS", "SLURM_NODEID", "SLURM_RESTART_COUNT")
TRAINER_NAMES: dict[Precision, TrainerPrecision] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


class Decided(NamedTuple):
    """A precision of the Trainer, and why it was chosen."""

    precision: TrainerPrecision
    reason: str


def on_this_machine(settings: RunSettings, kept: RunSettings | None, *, jobs: int = 1) -> tuple[RunSettings, Machine]:
    """The settings of a run with what is decided by this machine, and that by itself.

    ``trainer.precision`` becomes the one that is trained in.

    Args:
        settings: as composed.
        kept: of the run so far, if it is continued: it goes on in its own precision.
        jobs: of a sweep that share the machine.

    Raises:
        PedsegError: the device is absent, or cannot train in the precision, or the environment is that of no run.
    """
    check_environment()
    trainer = settings.trainer
    device = training_device(trainer.accelerator)
    fast = fast_precision(device)
    decided = _training_precision(trainer.precision, kept, device)
    before = kept.machine if kept else None
    predicting = settings.prediction.precision
    if predicting == "auto":
        predicting = before.prediction if before else fast.precision
    if "bf16" in (predicting, decided.precision.removesuffix("-mixed")) and fast.precision != "bf16":
        log.warning("the run uses bfloat16 (%s), which is slow here: %s", decided.reason, fast.reason)
    sharing = jobs * _local_processes(trainer.devices, device)
    share = share_cores(cores() // sharing, on_cpu=device.type == "cpu")
    given = settings.data.num_workers
    machine = Machine(
        device=describe_machine(),
        precision=decided.reason,
        prediction=predicting,
        cores=cores(),
        threads=torch.get_num_threads() if "OMP_NUM_THREADS" in os.environ else share.threads,
        workers=share.workers if given == "auto" else given,
    )
    changed = {"trainer": trainer.model_copy(update={"precision": decided.precision}), "machine": machine}
    return settings.model_copy(update=changed), machine


def training_device(accelerator: str) -> torch.device:
    """Kind of device that the Trainer takes for ``trainer.accelerator``.

    Raises:
        PedsegError: it is unknown, or this machine has none.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if accelerator == "auto":
        return torch.device(next(name for name, there in present.items() if there))
    wanted = ("cuda" if present["cuda"] or not present["mps"] else "mps") if accelerator == "gpu" else accelerator
    if not present.get(wanted):
        raise PedsegError(
            f"trainer.accelerator={accelerator}: this machine has none; use auto, or one of "
            f"{', '.join(name for name, there in present.items() if there)}"
        )
    return torch.device(wanted)


def _training_precision(given: TrainerPrecision, kept: RunSettings | None, device: torch.device) -> Decided:
    """The Trainer's precision: the one that is set, else the run's own so far, else the fastest here."""
    before = kept.trainer.precision if kept else "auto"
    if given != "auto":
        decided = Decided(given, "as trainer.precision says")
    elif before != "auto":
        decided = Decided(before, "as the run began")
    else:
        fast = fast_precision(device)
        decided = Decided(TRAINER_NAMES[fast.precision], fast.reason)
    if decided.precision == "16-mixed" and device.type == "cpu":
        raise PedsegError(
            f"trainer.precision is 16-mixed ({decided.reason}), and a CPU does not train in float16; continue on a "
            "GPU, or begin another run with trainer.precision=32-true"
        )
    return decided


def check_environment() -> None:
    """Whether what launchers and schedulers say of the processes of a run can be so.

    Raises:
        PedsegError: a number is none, or one is left over from something else.
    """
    for name in (*RANKS, *NUMBERS):
        value = os.environ.get(name, "0")
        if not value.isdecimal():
            raise PedsegError(f"the environment says {name}={value!r}, which is no whole number; unset it, or mend it")
    several = any(name in os.environ for name in (*OF_SEVERAL, "SLURM_NTASKS"))
    for name in RANKS:
        if os.environ.get(name, "0") != "0" and not several:
            raise PedsegError(
                f"the environment says {name}={os.environ[name]}, as to one of several processes, and nothing says of "
                f"how many ({', '.join(OF_SEVERAL)}); unset it, or start the run with torchrun or srun"
            )


def _local_processes(devices: int | tuple[int, ...] | Literal["auto"], device: torch.device) -> int:
    """Processes of the run that share this machine's cores; tasks of a scheduler have cores of their own."""
    if int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        return 1
    if isinstance(devices, int):
        return devices
    if isinstance(devices, tuple):
        return len(devices)
    return max(1, torch.cuda.device_count()) if device.type == "cuda" else 1
