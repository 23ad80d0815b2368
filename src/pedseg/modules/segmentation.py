"""Supervised training of the segmentation network."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypedDict

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from pedseg.adaptation.method import batch_norms
from pedseg.errors import PedsegError
from pedseg.inference.checkpoint import DESCRIPTION, describe
from pedseg.labels import Domain, Region
from pedseg.losses import DeepSupervisionLoss, DiceBCELoss
from pedseg.modules.gradient_layout import keep_strides
from pedseg.modules.pseudo_dice import PseudoDice
from pedseg.networks import PARTS, SegmentationNetwork


class Samples(TypedDict, total=False):
    """Patches of one domain; only the source has labels.

    Attributes:
        image: (n, modalities, D, H, W) float32.
        label: (n, regions, D, H, W), 0 or 1; a mask of ignored voxels after the regions where cohorts ignore some.
    """

    image: Tensor
    label: Tensor


Batch = dict[str, Samples]  # keys are the values of `Domain`; an absent side is left out


class SegmentationModule(LightningModule):
    """Trains a segmentation network on labelled patches, nnU-Net's way.

    The learning rate of an epoch is the optimiser's own times ``lr_schedule(epoch / max_epochs)``, set when the epoch
    starts: a pure function of the epoch, so a resumed run continues it exactly. Parts of the network that are not in
    `trainable_parts` get no gradient, no weight decay and no new BatchNorm statistics: they stay bit-identical.

    Logged per epoch: ``train/loss``, ``train/loss_seg``, ``train/learning_rate``, ``val/loss``, and over the source
    validation patches ``val/source/dice_<region>``, ``dice_mean`` and ``dice_ema`` (`PseudoDice`).

    Args:
        network: the network.
        optimizer: makes the optimiser of the trained parameters, such as
            ``partial(SGD, lr=0.01, momentum=0.99, nesterov=True, weight_decay=3e-5)``.
        lr_schedule: factor of the learning rate as a function of progress in [0, 1).
        loss: loss of logits and label; nnU-Net's by default.
        deep_supervision_weights: one per head, full size first; nnU-Net's by default.
        trainable_parts: names of `SegmentationNetwork.parts` that are trained.
        channels_last: keep images and weights in channels-last layout (faster with bfloat16, and on the CPU).

    Raises:
        PedsegError: a part is unknown or none is given.
    """

    def __init__(
        self,
        *,
        network: SegmentationNetwork,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        lr_schedule: Callable[[float], float],
        loss: nn.Module | None = None,
        deep_supervision_weights: Sequence[float] | None = None,
        trainable_parts: Sequence[str] = PARTS,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        unknown = [part for part in trainable_parts if part not in PARTS]
        if unknown or not trainable_parts:
            raise PedsegError(f"trainable_parts {list(trainable_parts)}: choose one or more of {', '.join(PARTS)}")
        self.network = network
        self.loss = DeepSupervisionLoss(loss or DiceBCELoss(), weights=deep_supervision_weights)
        self.pseudo_dice = PseudoDice(regions=len(Region))
        self.make_optimizer = optimizer
        self.lr_schedule = lr_schedule
        self.frozen_parts = tuple(part for part in PARTS if part not in trainable_parts)
        self.memory_format = torch.channels_last_3d if channels_last else torch.contiguous_format
        self.network.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        for part in self.frozen_parts:
            self.network.get_submodule(part).requires_grad_(False)
        keep_strides(self.network)
        self.train()

    def train(self, mode: bool = True) -> "SegmentationModule":
        """Set training or evaluation mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        for part in self.frozen_parts:
            self.network.get_submodule(part).eval()
        return self

    def setup(self, stage: str) -> None:
        """Look at what the processes will share.

        Raises:
            PedsegError: batch norms are to be synchronised, which no CPU can.
        """
        del stage
        strategy = self.trainer.strategy
        synchronised = getattr(strategy, "_layer_sync", None) is not None  # trainer.sync_batchnorm
        if synchronised and strategy.root_device.type != "cuda" and batch_norms(self):
            raise PedsegError(
                "trainer.sync_batchnorm=true synchronises batch norms on GPUs alone; train with norm=instance, in one "
                "process, or with trainer.sync_batchnorm=false, where each process normalises its own share of a batch"
            )

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, regions, D, H, W) of images (B, modalities, D, H, W)."""
        logits: Tensor = self.network(image.contiguous(memory_format=self.memory_format))
        return logits

    @property
    def progress(self) -> float:
        """Fraction of the epochs that are done, in [0, 1).

        Raises:
            PedsegError: the trainer has no number of epochs.
        """
        epochs = self.trainer.max_epochs
        if not epochs or epochs < 0:
            raise PedsegError(f"schedules follow trainer.max_epochs, which is {epochs}; set it to the number of epochs")
        return self.current_epoch / epochs

    def configure_optimizers(self) -> Optimizer:
        """Make the optimiser of the trained parameters and note its learning rates as the schedule's base."""
        optimizer = self.make_optimizer([parameter for parameter in self.parameters() if parameter.requires_grad])
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        return optimizer

    def on_train_epoch_start(self) -> None:
        """Set the epoch's learning rate."""
        factor = self.lr_schedule(self.progress)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
        self.log("train/learning_rate", self.trainer.optimizers[0].param_groups[0]["lr"])

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of the labelled patches of a batch."""
        del batch_index
        source = batch[Domain.SOURCE]
        loss = self.segmentation_loss(source)[0]
        self.log_mean("train/loss_seg", loss, samples=len(source["image"]))
        self.log_mean("train/loss", loss, samples=len(source["image"]))
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the counts of the epoch before."""
        self.pseudo_dice.reset()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Count the source patches of a batch; nothing else is read."""
        del batch_index
        source = batch[Domain.SOURCE]
        loss, logits = self.segmentation_loss(source)
        self.pseudo_dice.update(logits, source["label"])
        self.log_mean("val/loss", loss, samples=len(source["image"]))

    def on_validation_epoch_end(self) -> None:
        """Log the pseudo Dice of all patches of all processes."""
        if self.trainer.sanity_checking:
            return
        dice, mean = self.pseudo_dice.compute(self._sum_over_processes)
        scores = dict(zip(Region, dice, strict=True)) | {"mean": mean, "ema": self.pseudo_dice.ema.clone()}
        for name, score in scores.items():
            self.log(f"val/source/dice_{name}", score, sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what rebuilds the network, as plain Python."""
        checkpoint[DESCRIPTION] = self.description()

    def description(self) -> dict[str, Any]:
        """What a checkpoint needs beside its tensors, in plain Python."""
        return describe(self.network)

    def segmentation_loss(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """Loss and full-size logits of labelled samples."""
        logits = self.network.forward_features(self.to_layout(samples["image"])).logits
        loss: Tensor = self.loss(logits, self.to_layout(samples["label"]))
        return loss, logits[0]

    def to_layout(self, x: Tensor) -> Tensor:
        """Bring a 5-D tensor into the layout of the weights."""
        return x.contiguous(memory_format=self.memory_format)

    def log_mean(self, name: str, value: Tensor, *, samples: int | Tensor) -> None:
        """Log the mean of `value` over the samples of an epoch and over processes."""
        weight: Any = samples  # Lightning adds it up, be it a number or on the device
        self.log(name, value.detach(), on_step=False, on_epoch=True, sync_dist=True, batch_size=weight)

    def _sum_over_processes(self, counts: Tensor) -> Tensor:
        total = self.trainer.strategy.reduce(counts.clone(), reduce_op="sum")
        return torch.as_tensor(total, device=counts.device)
