"""The plan of a run: what it is made of, and what it will take."""

import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pedseg.planning.memory import CUDA_CONTEXT, StepMemory
from pedseg.planning.timing import WARM_UP, Measured
from pedseg.settings.following import Machine

HOUR_S = 3600.0
GIB, MIB = 1 << 30, 1 << 20
PASSES_OF_A_STEP = 3  # a step of test-time adaptation in forward passes: one, and a backward that costs two
CURVE_BYTES = 20  # of a number in metrics.csv, with its comma
LOG_LINE = 200  # bytes of an epoch's line in the log
TUMOUR_SHARE = 0.05  # of the voxels of the label map whose size on disk is measured

Counts = Mapping[str, Mapping[str, int]]  # what for → cohort → cases


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that has not begun.

    Attributes:
        name: of the run and its fold.
        folder: its run folder.
        cases: cases by cohort, of what they are for.
        steps: per epoch.
        validation_steps: per epoch.
        epochs: of the whole run.
        done: epochs that a run that is continued has finished.
        batch: patches per step and process.
        patch: their voxels.
        precision: of the training, as the Trainer names it.
        machine: what was decided for this machine, and why (`pedseg.assembly.on_this_machine`).
        workers: loader processes.
        measured: what a few steps took; None if they would not fit into memory.
        window_s: seconds of a window's forward pass; 0 if nothing was measured.
        passes: forward passes of all predictions and calibrations.
        gpu: memory of a training step on a GPU, computed.
        gpu_prediction: bytes of the prediction of the largest case on a GPU, computed.
        free: bytes of memory that were free on the device.
        checkpoint: bytes of the checkpoint.
        label_maps: bytes of all predictions.
        curves: metrics logged per epoch.
    """

    name: str
    folder: str
    cases: Counts
    steps: int
    validation_steps: int
    epochs: int
    done: int
    batch: int
    patch: Sequence[int]
    precision: str
    machine: Machine
    workers: int
    measured: Measured | None
    window_s: float
    passes: int
    gpu: StepMemory
    gpu_prediction: int
    free: int | None
    checkpoint: int
    label_maps: int
    curves: int

    @property
    def hours(self) -> float | None:
        """Of training, validation and prediction on this machine; None if nothing was measured."""
        return None if self.measured is None else self._training_h + self._validation_h + self._prediction_h

    @property
    def disk(self) -> int:
        """Bytes of the run folder, at the moment when a new checkpoint lies beside the old one."""
        return 2 * self.checkpoint + self.label_maps + self.epochs * (self.curves * CURVE_BYTES + LOG_LINE)

    @property
    def _training_h(self) -> float:
        assert self.measured is not None  # noqa: S101  (asked by `hours` alone)
        return (self.epochs - self.done) * self.steps * self.measured.sustained_s(self.workers) / HOUR_S

    @property
    def _validation_h(self) -> float:
        assert self.measured is not None  # noqa: S101
        return (self.epochs - self.done) * self.validation_steps * self.measured.validation_s / HOUR_S

    @property
    def _prediction_h(self) -> float:
        return self.passes * self.window_s / HOUR_S

    def rows(self) -> Iterator[tuple[str, str]]:
        """What is known, name and text."""
        yield "run", f"{self.name} in {self.folder}"
        for purpose, cohorts in self.cases.items():
            yield purpose, ", ".join(f"{number} {cohort}" for cohort, number in cohorts.items() if number) or "none"
        going = f", {self.done} of them done" if self.done else ""
        patch = "×".join(map(str, self.patch))
        yield "training", f"{self.steps} steps × {self.epochs} epochs{going}; {self.batch} patches of {patch} a step"
        yield "precision", f"{self.precision}: {self.machine.precision}"
        yield (
            "cores",
            f"{self.machine.cores}: {self.machine.threads} threads, {self.workers} loader processes",
        )
        yield from self._time()
        yield from self._memory()
        parts = f"checkpoint {size(self.checkpoint)} (twice while it is written), predictions {size(self.label_maps)}"
        yield "disk", f"{size(self.disk)}: {parts}, the rest curves and log"

    def _time(self) -> Iterator[tuple[str, str]]:
        measured = self.measured
        if measured is None:
            yield "hours", f"not measured: a step needs more than the {size(self.free or 0)} that are free"
            return
        yield (
            "hours",
            f"{self.hours:.3g} on this machine: training {self._training_h:.3g}, validation {self._validation_h:.3g}, "
            f"prediction {self._prediction_h:.3g}",
        )
        yield (
            "measured",
            f"median of {measured.steps} steps {measured.step_s:.3g} s with waiting for data "
            f"(one loader makes a batch in {measured.batch_s:.3g} s), a validation step {measured.validation_s:.3g} s, "
            f"a window {self.window_s:.3g} s; "
            f"the first {WARM_UP} steps are not counted",
        )

    def _memory(self) -> Iterator[tuple[str, str]]:
        if self.measured is not None:
            loaders = f", loader processes {size(self.measured.loaders)}" if self.measured.loaders else ""
            yield "host memory", f"{size(self.measured.host)} at the peak of the measured steps{loaders}"
        step = self.gpu
        parts = (
            f"weights {size(step.parameters)}, gradients {size(step.gradients)}, optimiser {size(step.optimizer)}, "
            f"the rest activations"
        )
        if self.measured is not None and self.measured.gpu is not None:
            yield "GPU memory", f"{size(self.measured.gpu)} of tensors at the peak of the measured steps"
        yield "GPU step", f"{size(step.peak)} of tensors, computed: {parts}"
        yield "GPU prediction", f"{size(self.gpu_prediction)} of tensors for the largest case, computed"
        yield "GPU context", f"about {size(CUDA_CONTEXT)} beside them, an estimate: CUDA's context, cuDNN's workspaces"


def size(number: float) -> str:
    """Write bytes in the unit that fits."""
    if number >= GIB:
        return f"{number / GIB:.1f} GiB"
    return f"{number / MIB:.1f} MiB" if number >= MIB else f"{number / 1024:.1f} KiB"


def label_map_bytes(shape: Sequence[int]) -> int:
    """Bytes of a compressed label map of `shape` with a ball of 5 % of the voxels in it, a large tumour."""
    radius = (3 * TUMOUR_SHARE / (4 * np.pi)) ** (1 / 3)
    z, y, x = (np.linspace(-0.5, 0.5, length, dtype=np.float32) for length in shape)
    inside = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 < radius**2
    return len(gzip.compress(inside.astype(np.uint8).tobytes(), compresslevel=1))


def passes_of(windows: int, *, mirrorings: int, adapt_steps: int) -> int:
    """Forward passes of cases with `windows` windows in all, without the gradient steps of an adaptation."""
    return windows * mirrorings * (2 if adapt_steps else 1)
