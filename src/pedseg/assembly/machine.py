"""What a run takes from the machine that it is on: device, precision and cores, decided once and kept in its config."""

import logging
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from pedseg.errors import PedsegError
from pedseg.hardware import Precision, cores, describe_machine, fast_precision, share_cores

log = logging.getLogger(__name__)

TRAINER_NAMES: dict[Precision, str] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


class Decided(NamedTuple):
    """A precision of the Trainer, and why it was chosen."""

    precision: str
    reason: str


def on_this_machine(config: Mapping[str, Any], kept: Mapping[str, Any] | None, *, jobs: int = 1) -> dict[str, Any]:
    """The configuration of a run with what is decided by this machine.

    ``trainer.precision`` is named as the Trainer names it, ``data.num_workers`` is a number, and ``machine`` says where
    the run is and what was decided: ``device``, ``precision`` (the reason), ``prediction`` (precision of the run's own
    label maps), ``cores``, ``threads``.

    Args:
        config: as composed.
        kept: configuration of the run so far, if it is continued: it goes on in its own precision.
        jobs: of a sweep that share the machine.

    Raises:
        PedsegError: a precision is unknown, or the device cannot train in it.
    """
    device = training_device(config["trainer"]["accelerator"])
    fast = fast_precision(device)
    decided = _training_precision(config["trainer"]["precision"], kept, device)
    predicting = config["prediction"]["precision"]
    if predicting == "auto":
        predicting = (kept or {}).get("machine", {}).get("prediction", fast.precision)
    if "bf16" in (predicting, decided.precision.removesuffix("-mixed")) and fast.precision != "bf16":
        log.warning("the run uses bfloat16 (%s), which is slow here: %s", decided.reason, fast.reason)
    sharing = jobs * _local_processes(config["trainer"]["devices"], device)
    share = share_cores(cores() // sharing, on_cpu=device.type == "cpu")
    given = config["data"]["num_workers"]
    machine = {
        "device": describe_machine(),
        "precision": decided.reason,
        "prediction": predicting,
        "cores": cores(),
        "threads": torch.get_num_threads() if "OMP_NUM_THREADS" in os.environ else share.threads,
    }
    return {
        **config,
        "trainer": {**config["trainer"], "precision": decided.precision},
        "data": {**config["data"], "num_workers": share.workers if given == "auto" else given},
        "machine": machine,
    }


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


def _training_precision(given: object, kept: Mapping[str, Any] | None, device: torch.device) -> Decided:
    """The Trainer's precision: the one that is set, else the run's own so far, else the fastest here."""
    before = (kept or {}).get("trainer", {}).get("precision", "auto")
    if given != "auto":
        decided = Decided(TRAINER_NAMES.get(str(given), str(given)), "as trainer.precision says")  # type: ignore[call-overload]
    elif before != "auto":
        decided = Decided(str(before), "as the run began")
    else:
        fast = fast_precision(device)
        decided = Decided(TRAINER_NAMES[fast.precision], fast.reason)
    if decided.precision not in TRAINER_NAMES.values():
        raise PedsegError(f"trainer.precision={given} is unknown; use auto, {', '.join(TRAINER_NAMES.values())}")
    if decided.precision == "16-mixed" and device.type == "cpu":
        raise PedsegError(
            f"trainer.precision is 16-mixed ({decided.reason}), and a CPU does not train in float16; continue on a "
            "GPU, or begin another run with trainer.precision=32-true"
        )
    return decided


def _local_processes(devices: Any, device: torch.device) -> int:  # noqa: ANN401  (whatever Lightning takes)
    """Processes of the run that share this machine's cores; tasks of a scheduler have cores of their own."""
    if int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        return 1
    if isinstance(devices, list):
        return max(1, len(devices))
    try:
        number = int(devices)
    except ValueError:
        number = -1 if devices == "auto" else len(str(devices).strip(",").split(","))
    if number > 0:
        return number
    return max(1, torch.cuda.device_count()) if device.type == "cuda" else 1
