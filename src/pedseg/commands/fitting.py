"""The training of a run: what drives it is built before anything is written, and it says when it stops too early."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from pedseg.errors import PedsegError, StoppedEarlyError, is_of_the_machine
from pedseg.memory import reused_memory
from pedseg.signals import Stopped

if TYPE_CHECKING:
    from lightning.pytorch import Trainer
    from lightning.pytorch.loggers.logger import Logger

    from pedseg.data.datamodule import PatchDataModule
    from pedseg.modules import SegmentationModule
    from pedseg.runs import RunFolder
    from pedseg.settings.run import RunSettings

STOPPING = ("max_time", "max_steps")  # settings of the Trainer that end a call before the last epoch

log = logging.getLogger(__name__)


class Fit:
    """A training that has not begun.

    Args:
        settings: of the run.
        folder: its folder, from which a run that has begun goes on.
        module: what is trained.
        data: its batches.

    Raises:
        PedsegError: the Trainer refuses its settings.
    """

    def __init__(
        self, settings: "RunSettings", folder: "RunFolder", module: "SegmentationModule", data: "PatchDataModule"
    ) -> None:
        from pedseg.assembly import build_trainer
        from pedseg.callbacks import AdversaryHealth, EpochLine, LastCheckpoint, SourceSlices, StepTimer, TimeLimit
        from pedseg.inference.continuing import finished_epochs

        self.settings, self.folder, self.module, self.data = settings, folder, module, data
        self.resumed = folder.checkpoint if folder.checkpoint.exists() and not settings.overwrite else None
        first_epoch = finished_epochs(self.resumed) if self.resumed else 0
        every, limit = settings.callbacks.checkpoint_every, settings.trainer.max_time
        self.checkpoint = LastCheckpoint(folder, every_n_epochs=every, first_epoch=first_epoch)
        trial = settings.trainer.fast_dev_run > 0
        self.trainer = build_trainer(
            settings,
            callbacks=[
                StepTimer(),
                AdversaryHealth(),
                *([] if trial else [self.checkpoint]),
                EpochLine(settings.title),
                *([SourceSlices()] if settings.callbacks.images else []),
                *([TimeLimit(limit)] if limit else []),
            ],
            checkpoints=not trial,
        )

    def try_out(self) -> NoReturn:
        """Train and validate a few batches away from the run's folder.

        Raises:
            StoppedEarlyError: they are done.
        """
        self.trainer.fit(self.module, datamodule=self.data)
        batches = self.settings.trainer.fast_dev_run
        tried = f"tried {batches} batch{'es' * (batches > 1)} (trainer.fast_dev_run)"
        raise self._stopped(f"{tried}; nothing was kept, and the same command without it trains")

    def train(self, loggers: "Sequence[Logger]") -> "Trainer":
        """Train to the last epoch, from the last checkpoint if there is one, and tell the loggers.

        Raises:
            StoppedEarlyError: the training was told to stop before.
        """
        if self.resumed:
            log.info("continuing at epoch %d from %s", self.checkpoint.done + 1, self.resumed)
        trainer = self.trainer
        trainer.loggers = list(loggers)
        try:
            with reused_memory(), self._loaded():
                trainer.fit(self.module, datamodule=self.data, ckpt_path=self.resumed, weights_only=True)
        except Stopped as stopped:
            _stop_helpers(trainer, stopped)
            raise
        if self.checkpoint.done < self.settings.trainer.max_epochs:
            raise self._stopped(self._why())
        return trainer

    @contextmanager
    def _loaded(self) -> Iterator[None]:
        """Say of what ends this block before the training goes on that its checkpoint is at fault.

        Raises:
            PedsegError: in place of what Lightning and torch make of a checkpoint that is none of this run.
        """
        try:
            yield
        except PedsegError:
            raise
        except Exception as error:
            if not self.resumed or self.checkpoint.begun or is_of_the_machine(error):
                raise
            from pedseg.inference.continuing import AGAIN

            what = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            raise PedsegError(f"{self.resumed}: cannot be gone on from ({what}); {AGAIN}") from error

    def _why(self) -> str:
        trainer, done = self.settings.trainer, self.checkpoint.done
        given = [f"trainer.{name}={value}" for name in STOPPING if (value := getattr(trainer, name)) is not None]
        where = f"stopped after epoch {done} of {trainer.max_epochs}"
        if not given:
            return f"{where}; the same command continues"
        return f"{where} ({', '.join(given)}); the same command without it continues"

    def _stopped(self, text: str) -> StoppedEarlyError:
        log.info("%s: %s", self.folder.path, text)
        return StoppedEarlyError(text)


def _stop_helpers(trainer: "Trainer", stopped: Stopped) -> None:
    """Stop the processes that this one has started beside it."""
    kill = getattr(trainer.strategy.launcher, "kill", None)
    if kill is not None:
        kill(stopped.signal)
