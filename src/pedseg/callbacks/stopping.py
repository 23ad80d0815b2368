"""Trainings that end before their last epoch because they were told to."""

import time

import lightning.pytorch as pl


def is_cut_short(trainer: pl.Trainer) -> bool:
    """Whether the epoch that ends now has had fewer steps than an epoch has."""
    done: int = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    return done < trainer.num_training_batches


def seconds(duration: str) -> int:
    """Seconds of a duration ``DD:HH:MM:SS``."""
    days, hours, minutes, rest = map(int, duration.split(":"))
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


class TimeLimit(pl.Callback):
    """Stop the training when a call has taken its time; the epoch that is then on its way is trained again later.

    Lightning's own limit is of the whole run: it is kept in the checkpoint, so that a run that goes on stops at once.

    Args:
        duration: of this call, ``DD:HH:MM:SS``.
    """

    def __init__(self, duration: str) -> None:
        self.limit = seconds(duration)
        self.begun = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.begun = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        """Stop when the clock of the first process says so."""
        over: bool = trainer.strategy.broadcast(time.monotonic() - self.begun >= self.limit)
        trainer.should_stop = trainer.should_stop or over
