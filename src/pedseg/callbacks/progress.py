"""Where the time goes, and one line per epoch for those who read logs."""

import logging
import time
from typing import Any

import lightning.pytorch as pl
from torch import Tensor

from pedseg.callbacks.stopping import is_cut_short
from pedseg.standing import duration

log = logging.getLogger(__name__)


class StepTimer(pl.Callback):
    """Log ``time/data`` and ``time/step``: mean seconds a step waited for its batch, and then computed."""

    def __init__(self) -> None:
        self.waited = 0.0
        self.computed = 0.0
        self.steps = 0
        self.mark = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clocks of the epoch."""
        self.waited = self.computed = 0.0
        self.steps = 0
        self.mark = time.perf_counter()

    def on_train_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """The batch has arrived."""
        now = time.perf_counter()
        self.waited += now - self.mark
        self.mark = now

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """The step is done."""
        now = time.perf_counter()
        self.computed += now - self.mark
        self.mark = now
        self.steps += 1

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the means of the epoch."""
        steps = max(self.steps, 1)
        pl_module.log("time/data", self.waited / steps)
        pl_module.log("time/step", self.computed / steps)


class EpochLine(pl.Callback):
    """Write one line per epoch: losses, source validation Dice, domain accuracy, alpha, and the time that is left.

    The first line comes after `FIRST_STEPS` steps, and one whenever there has been none for `SILENCE_S` seconds, so
    that a run looks alive. Each names its run: jobs side by side write into one terminal.

    Args:
        name: of the run.
    """

    FIRST_STEPS = 2
    SILENCE_S = 60.0
    SHOWN = (
        ("train/loss_seg", "seg {:.3f}"),
        ("train/loss_domain", "domain {:.3f}"),
        ("train/domain_accuracy", "accuracy {:.2f}"),
        ("train/alpha", "alpha {:.2f}"),
        ("val/source/dice_mean", "source Dice {:.3f}"),
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.begun = self.written = time.perf_counter()
        self.first_epoch = 0
        self.steps = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of the run."""
        self.begun = self.written = time.perf_counter()
        self.first_epoch = trainer.current_epoch
        self.steps = 0

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Write where in the epoch the run is, if it has been silent for long (rank 0)."""
        self.steps += 1
        now = time.perf_counter()
        if not trainer.is_global_zero or (self.steps != self.FIRST_STEPS and now - self.written < self.SILENCE_S):
            return
        self.written = now
        seconds = (now - self.begun) / self.steps
        epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        step = f"step {batch_idx + 1}/{trainer.num_training_batches}"
        log.info("%s · %s · %s · %.2f s a step", self.name, epoch, step, seconds)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the line of an epoch that is whole (rank 0)."""
        if not trainer.is_global_zero or is_cut_short(trainer):
            return
        done = trainer.current_epoch + 1
        total = trainer.max_epochs or done
        seconds = (time.perf_counter() - self.begun) / (done - self.first_epoch)
        values = [
            text.format(_number(trainer.callback_metrics[key]))
            for key, text in self.SHOWN
            if key in trainer.callback_metrics
        ]
        left = seconds * (total - done)
        self.written = time.perf_counter()
        shown = " · ".join([self.name, f"epoch {done}/{total}", *values])
        log.info("%s · %.1f s an epoch, %s left", shown, seconds, duration(left))


def _number(value: Tensor | float) -> float:
    return float(value)
