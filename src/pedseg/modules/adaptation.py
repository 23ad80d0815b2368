"""Training with adaptation: the segmentation loss of the source, and terms that need no target label."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pedseg.adaptation import Draw, Images, Method, Step
from pedseg.adaptation.method import batch_norms, running_statistics_kept
from pedseg.errors import PedsegError
from pedseg.labels import Domain
from pedseg.modules.gradient_layout import keep_strides
from pedseg.modules.segmentation import Batch, SegmentationModule
from pedseg.networks import PARTS, NetworkOutput, SegmentationNetwork
from pedseg.networks.contract import joined
from pedseg.settings.signature import below


class AdaptationModule(SegmentationModule):
    """Adds the terms of adaptation methods to the segmentation loss of the source.

    A step concatenates the images of both domains, runs the network once (apart for each domain if a method
    `separates_domains`), takes L_seg of the source's part and asks each method for its weighted term. The target is
    left out of this where nothing comes of it: no method `reads_target` and the network has no batch norm. Methods get
    images and outputs (`pedseg.adaptation.Step`), so that no label of either domain reaches them. With instance norms
    no target sample has a gradient of L_seg; with ``norm=batch`` the two domains share batch statistics, so target
    images act on L_seg whatever the methods do: a confounder of the released code of Fu et al. 2024 that control runs
    measure.

    Logged per epoch besides those of `SegmentationModule` is what the methods log, below ``train/``; and as the mean
    over the steps that are logged (every `log_every_n_steps` and the first of an epoch) ``train/gradient_<name>``,
    gradient norms over the batch of all processes.

    Args:
        network: the network.
        methods: by name, in the order they are applied.
        seed: of what the methods draw.
        optimizer: as in `SegmentationModule`; it also gets the methods' trained parameters.
        lr_schedule: as in `SegmentationModule`.
        loss: as in `SegmentationModule`.
        deep_supervision_weights: as in `SegmentationModule`.
        trainable_parts: as in `SegmentationModule`; methods are always trained.
        channels_last: as in `SegmentationModule`.

    Raises:
        PedsegError: there is no method, or one does not fit the network.
    """

    def __init__(
        self,
        *,
        network: SegmentationNetwork,
        methods: Mapping[str, Method],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        lr_schedule: Callable[[float], float],
        seed: int = 0,
        loss: nn.Module | None = None,
        deep_supervision_weights: Sequence[float] | None = None,
        trainable_parts: Sequence[str] = PARTS,
        channels_last: bool = False,
    ) -> None:
        super().__init__(
            network=network,
            optimizer=optimizer,
            lr_schedule=lr_schedule,
            loss=loss,
            deep_supervision_weights=deep_supervision_weights,
            trainable_parts=trainable_parts,
            channels_last=channels_last,
        )
        if not methods:
            raise PedsegError("adaptation without a method; choose one or more, such as adaptation=dann")
        self.methods = nn.ModuleDict(methods)
        for name, method in methods.items():
            with below(f"adaptation.{name}"):
                method.start(network)
        self.methods.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        keep_strides(self.methods)
        self.seed = seed

    def on_train_epoch_start(self) -> None:
        """Set the epoch's learning rate, and what the methods schedule."""
        super().on_train_epoch_start()
        for method in self._methods():
            for name, value in method.start_epoch(self.progress).items():
                self.log(f"train/{name}", value)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of a batch of source and target patches; a side that is absent contributes nothing."""
        draw = Draw(self.seed, self.current_epoch, batch_index, self.global_rank)
        loaded: Images = {domain: batch[domain]["image"] for domain in Domain if domain in batch}
        images = loaded
        for method in self._methods():
            images = method.change(images, draw)
        samples = sum(map(len, images.values()))
        images = {domain: self.to_layout(image) for domain, image in self._read(images).items()}
        output = self._forward(images)
        loss = self._source_loss(batch, output)
        watched = self._logs_gradients(batch_index)
        step = Step(
            network=self.network,
            loaded=loaded,
            images=images,
            output=output,
            draw=draw,
            log=self._log_of_method,
            watched=watched,
            scale=self._loss_scale() if watched else 1.0,
        )
        for method in self._methods():
            term = method.loss(step)
            loss = loss if term is None else loss + term
        self.log_mean("train/loss", loss, samples=samples)
        return loss

    def on_after_backward(self) -> None:
        """Log the gradient norms that the hooks of this step have left."""
        for method in self._methods():
            for name, norm in method.gradient_norms.items():
                # Each process averages its loss over its samples: of W processes its gradient is W times its share.
                square = torch.as_tensor(self.trainer.strategy.reduce(norm.square(), reduce_op="mean"))
                self.log_mean(f"train/gradient_{name}", (square / self.trainer.world_size).sqrt(), samples=1)
            method.gradient_norms.clear()

    def on_train_batch_end(self, *_: object) -> None:
        """Let the methods follow the updated network."""
        for method in self._methods():
            method.finish_step(self.network)

    def description(self) -> dict[str, Any]:
        """What a checkpoint needs beside its tensors, in plain Python."""
        adaptation = {name: method.description() for name, method in zip(self.methods, self._methods(), strict=True)}
        return {**super().description(), "adaptation": adaptation}

    def _methods(self) -> list[Method]:
        return [method for method in self.methods.values() if isinstance(method, Method)]

    def _read(self, images: Images) -> Images:
        """The sides of a batch whose output something is read from; one side alone always is."""
        if self._reads_target() or Domain.SOURCE not in images:
            return images
        return {Domain.SOURCE: images[Domain.SOURCE]}

    def _reads_target(self) -> bool:
        return any(method.reads_target for method in self._methods()) or bool(batch_norms(self.network))

    def _forward(self, images: Images) -> NetworkOutput:
        """Output of the whole batch, source before target."""
        if not any(method.separates_domains for method in self._methods()):
            return self.network.forward_features(self.to_layout(torch.cat(list(images.values()))))
        outputs = []
        for domain, image in images.items():
            kept = running_statistics_kept(self.network) if domain is Domain.SOURCE else nullcontext()
            with kept:
                outputs.append(self.network.forward_features(image))
        return joined(outputs)

    def _source_loss(self, batch: Batch, output: NetworkOutput) -> Tensor:
        if Domain.SOURCE not in batch:
            # A gradient of zero for the heads: every parameter takes part in every step, as DDP expects.
            return torch.stack([0.0 * head.float().mean() for head in output.logits]).sum()
        label = self.to_layout(batch[Domain.SOURCE]["label"])
        loss: Tensor = self.loss([head[: len(label)] for head in output.logits], label)
        self.log_mean("train/loss_seg", loss, samples=len(label))
        return loss

    def _log_of_method(self, name: str, value: Tensor, samples: int | Tensor) -> None:
        self.log_mean(f"train/{name}", value, samples=samples)

    def _logs_gradients(self, batch_index: int) -> bool:
        interval: int = getattr(self.trainer, "log_every_n_steps", 0)  # set by Lightning's logger connector
        return batch_index == 0 or (interval > 0 and (batch_index + 1) % interval == 0)

    def _loss_scale(self) -> float:
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        return float(scaler.get_scale()) if scaler is not None else 1.0
