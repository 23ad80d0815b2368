"""The checkpoint a run resumes from and predicts with."""

import io
import logging
import math

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint

from pedseg.callbacks.stopping import is_cut_short
from pedseg.errors import PedsegError
from pedseg.files import atomic_path, check_room
from pedseg.inference.continuing import check_optimizers
from pedseg.inference.seals import sealed
from pedseg.runs import RunFolder

log = logging.getLogger(__name__)


def check_checkpoint_room(folder: RunFolder, module: torch.nn.Module) -> None:
    """Refuse a disk that has no room for a checkpoint of a network, and for the next one beside it.

    Raises:
        PedsegError: it has none.
    """
    kept = [*module.state_dict().values(), *(weight for weight in module.parameters() if weight.requires_grad)]
    size = sum(value.numel() * value.element_size() for value in kept if isinstance(value, torch.Tensor))
    check_room(folder.path, 2 * size, what="checkpoints (one, and the next while it is written)")


class LastCheckpoint(Checkpoint):
    """Write ``checkpoints/last.ckpt`` every few epochs and after the last one, atomically.

    No metric is looked at: the last epoch is the one that is used (nnU-Net's choice), so nothing can leak into a
    selection. Rank 0 keeps the last epoch in memory (250 MB for nnU-Net's BraTS network with momentum) and writes
    it when the run ends early, by a signal, a scheduler, a limit or an error that is not one of its settings: no
    finished epoch is lost. An epoch is finished when its curves are logged, which is after its last hook, so that
    curves are never behind a checkpoint. One that is cut short before leaves nothing; a run that goes on trains it
    again.

    Args:
        folder: the run's folder.
        every_n_epochs: epochs between two writes.
        first_epoch: epoch the run begins or continues with.

    Attributes:
        done: epochs of the whole run that are finished.
        begun: whether everything was loaded and the training goes on.
    """

    def __init__(self, folder: RunFolder, *, every_n_epochs: int = 5, first_epoch: int = 0) -> None:
        self.path = folder.checkpoint
        self.every_n_epochs = every_n_epochs
        self.done = first_epoch
        self.unlogged: bytes | None = None  # the epoch whose curves come next
        self.unwritten: bytes | None = None  # the last finished epoch
        self.due = False
        self.begun = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at what was loaded, before the first step.

        Raises:
            PedsegError: the optimiser cannot go on with it.
        """
        check_optimizers(trainer.optimizers, where=self.path)
        self.begun = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the epoch on rank 0; Lightning writes its curves after this, and the checkpoint follows them.

        Raises:
            PedsegError: the loss of the epoch is not finite; the checkpoint before stays.
        """
        if is_cut_short(trainer):
            return
        loss = float(trainer.callback_metrics.get("train/loss", 0.0))
        if not math.isfinite(loss):
            raise PedsegError(
                f"the loss of epoch {trainer.current_epoch + 1} is {loss}: training has diverged. {self.path} was not "
                "written over; lower optimizer.lr or the weight of a method, or use trainer.precision=32-true"
            )
        if trainer.is_global_zero:
            self.unlogged = _serialised(trainer)
        self.done = trainer.current_epoch + 1
        self.due = self.done % self.every_n_epochs == 0 or self.done == trainer.max_epochs

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The curves of the epoch before are logged by now; write it if it is due."""
        self._finish()
        if self.due:
            self._write()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the last epoch, also where the training ends early; the other ranks read it from here on."""
        self._finish()
        self._write()
        trainer.strategy.barrier("last checkpoint")

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Write the last finished epoch, unless the run has refused to go on (a loss that is no number)."""
        if isinstance(exception, PedsegError) or not trainer.is_global_zero:
            return
        self._write()
        if self.path.exists():
            log.info("%s holds the last finished epoch", self.path)
        else:
            log.info("no epoch was finished")

    def _finish(self) -> None:
        if self.unlogged is not None:
            self.unwritten, self.unlogged = self.unlogged, None

    def _write(self) -> None:
        if self.unwritten is not None:
            with atomic_path(self.path, durable=True) as temporary:
                temporary.write_bytes(self.unwritten)
        self.unwritten, self.due = None, False


def _serialised(trainer: pl.Trainer) -> bytes:
    """What `save_checkpoint` would write."""
    buffer = io.BytesIO()
    torch.save(sealed(trainer._checkpoint_connector.dump_checkpoint(weights_only=False)), buffer)
    return buffer.getvalue()
