"""Seconds of real training steps, validation steps, batches and windows, and the memory that they take."""

import os
import resource
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import active_children
from pathlib import Path
from statistics import median
from typing import Any

import lightning.pytorch as pl
import torch

from pedseg.data.datamodule import PatchDataModule
from pedseg.hardware import Precision
from pedseg.inference.sliding_window import sliding_window_logits
from pedseg.memory import reused_memory
from pedseg.networks import SegmentationNetwork

WARM_UP = 2  # steps that choose kernels and fill caches
LEAST, MOST = 3, 20  # steps that are timed
LONGEST_S = 30.0  # no more than LEAST once they have taken that long
VALIDATION_STEPS = 2
BATCHES = 3  # read in this process, to learn what a loader process needs for one
KIBI = 1024
PEAK = Path("/proc/self/clear_refs")  # Linux: 5 forgets the process's peak


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians of what was run, in seconds, and peaks in bytes.

    Attributes:
        steps: training steps that were timed.
        step_s: from the end of a step to that of the next, waiting for the batch with it.
        batch_s: for a loader process to make a batch.
        validation_s: a validation step; 0 if there are none.
        host: most resident bytes of this process.
        loaders: the same of all loader processes, each counted whole; 0 where the system does not tell.
        gpu: most bytes of tensors on the GPU; None without one.
    """

    steps: int
    step_s: float
    batch_s: float
    validation_s: float
    host: int
    loaders: int
    gpu: int | None

    def sustained_s(self, workers: int) -> float:
        """Seconds of a step in the long run, when no batch has been made beforehand."""
        return max(self.step_s, self.batch_s / workers) if workers else self.step_s


class StepClock(pl.Callback):
    """Notes when steps end, and ends the training when enough have been timed."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.validation_ends: list[float] = []
        self.loaders = 0

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        """A step is done."""
        self.ends.append(_now(pl_module.device))
        timed = len(self.ends) - WARM_UP
        if timed >= MOST or (timed >= LEAST and self.ends[-1] - self.ends[WARM_UP - 1] > LONGEST_S):
            trainer.should_stop = True
            self.loaders = sum(_peak_of(child.pid) for child in active_children())

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The clock of validation steps starts."""
        self.validation_ends = [_now(pl_module.device)]

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        """A validation step is done."""
        self.validation_ends.append(_now(pl_module.device))


def measure(trainer: pl.Trainer, clock: StepClock, module: pl.LightningModule, data: PatchDataModule) -> Measured:
    """Train a few steps of the last epoch, in which every schedule has reached its end, and validate.

    Args:
        trainer: with `clock` among its callbacks, without loggers and checkpoints.
        clock: what notes the times.
        module: is trained, and of no use for anything else afterwards.
        data: its batches; it is left with an epoch of as many steps as are timed.
    """
    assert trainer.max_epochs is not None  # noqa: S101  (a setting of every run)
    trainer.fit_loop.epoch_progress.current.processed = trainer.max_epochs - 1  # type: ignore[attr-defined]
    data.steps_per_epoch = max(data.steps_per_epoch, WARM_UP + MOST)
    device = trainer.strategy.root_device
    _forget_peaks(device)
    with reused_memory():
        trainer.fit(module, datamodule=data)
    steps = _gaps(clock.ends)[WARM_UP - 1 :]
    host = _peak_of(os.getpid()) or _own_peak()
    gpu = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    validation = _gaps(clock.validation_ends)
    return Measured(
        steps=len(steps),
        step_s=median(steps) if steps else 0.0,
        batch_s=_batch_seconds(data),
        validation_s=median(validation) if validation else 0.0,
        host=host,
        loaders=clock.loaders,
        gpu=gpu,
    )


def window_seconds(
    network: SegmentationNetwork, *, device: torch.device, windows: Mapping[str, Any], precision: Precision
) -> float:
    """Seconds of one window's forward pass in a prediction: the median of `LEAST`, after a warm-up."""
    patch_size = network.form.patch_size
    network = network.to(device, memory_format=torch.channels_last_3d).eval()  # type: ignore[call-overload]
    batch: int = windows["window_batch"]
    image = torch.randn(network.form.in_channels, patch_size[0] * batch, *patch_size[1:], device=device)
    seconds = []
    for _ in range(1 + LEAST):
        start = _now(device)
        sliding_window_logits(
            network,
            image,
            patch_size=patch_size,
            step=1.0,
            mirror=False,
            window_batch=batch,
            precision=precision,
            channels_last=True,
        )
        seconds.append(float(_now(device) - start) / batch)
    return median(seconds[1:])


def _batch_seconds(data: PatchDataModule) -> float:
    """Seconds to read and augment a batch in one process with one thread, as a loader process does."""
    threads, workers = torch.get_num_threads(), data.num_workers
    torch.set_num_threads(1)
    data.num_workers = 0
    try:
        marks = [time.perf_counter()]
        for batch, _ in zip(data.train_dataloader(), range(BATCHES), strict=False):
            del batch
            marks.append(time.perf_counter())
        return median(_gaps(marks))
    finally:
        data.num_workers = workers
        torch.set_num_threads(threads)


def _gaps(marks: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(marks)]


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _forget_peaks(device: torch.device) -> None:
    """Begin the peaks anew, where the system lets a process do so; elsewhere they are those of its whole life."""
    if PEAK.exists():
        with suppress(OSError):
            PEAK.write_text("5", encoding="ascii")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _own_peak() -> int:
    """Most resident bytes of this process, and on Linux of the one that started it, where that had more."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else KIBI)


def _peak_of(pid: int | None) -> int:
    """Most resident bytes of a living process; 0 where there is no /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * KIBI for line in lines if line.startswith("VmHWM")), 0)
