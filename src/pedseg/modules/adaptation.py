"""Adversarial domain adaptation: the segmentation network against a domain classifier (Fu et al. 2024)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from pedseg.errors import PedsegError
from pedseg.labels import Domain
from pedseg.modules.segmentation import Batch, SegmentationModule
from pedseg.networks import DomainClassifier, GradientReversal, UNet
from pedseg.networks.unet import PARTS

DOMAIN_INDEX = {Domain.SOURCE: 0, Domain.TARGET: 1}  # of the classifier's logits


class AdaptationModule(SegmentationModule):
    """Adds to the segmentation loss of the source an adversarial loss on features of both domains.

    ``loss = L_seg(source) + lambda_domain * L_d(source and target)``, L_d the cross-entropy of a classifier that reads
    a decoder stage through a gradient reversal of strength alpha (Fu et al. 2024, section 2.1; Ganin et al. 2016).
    Target labels are never read; with instance norms no target sample has a gradient of L_seg. With ``norm=batch`` the
    two domains share batch statistics, so target images act on L_seg even while alpha is 0: a confounder of the
    released code that a control run with alpha 0 measures.

    Alpha is set when an epoch starts, to ``alpha_schedule(epoch / max_epochs)`` (per epoch, as in the released code).

    Logged per epoch besides those of `SegmentationModule`: ``train/loss_domain``, ``train/domain_accuracy`` and the
    same per domain (``train/source/…``, ``train/target/…``), ``train/alpha``; and as the mean over the steps that are
    logged (every `log_every_n_steps` and the first of an epoch) ``train/gradient_seg`` and ``train/gradient_domain``:
    norms over the batch of all processes, at the classifier's stage, of the gradients of L_seg and of the reversed
    ``lambda * L_d``.

    Args:
        network: the network.
        classifier: domain classifier built for the decoder stage.
        alpha_schedule: strength of the reversal as a function of progress in [0, 1).
        decoder_stage: which decoder stage the classifier reads, 1 the deepest.
        lambda_domain: weight of the domain loss.
        optimizer: as in `SegmentationModule`; it also gets the classifier's parameters.
        lr_schedule: as in `SegmentationModule`.
        loss: as in `SegmentationModule`.
        deep_supervision_weights: as in `SegmentationModule`.
        trainable_parts: as in `SegmentationModule`; the classifier is always trained.
        channels_last: as in `SegmentationModule`.

    Raises:
        PedsegError: the network has no such decoder stage, or the classifier reads another number of channels.
    """

    def __init__(
        self,
        *,
        network: UNet,
        classifier: DomainClassifier,
        alpha_schedule: Callable[[float], float],
        decoder_stage: int,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        lr_schedule: Callable[[float], float],
        lambda_domain: float = 0.01,
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
        stages = network.decoder_shapes
        if not 1 <= decoder_stage <= len(stages):
            raise PedsegError(f"decoder_stage {decoder_stage} is not in 1 (deepest) to {len(stages)} of this network")
        channels, _ = stages[decoder_stage - 1]
        if classifier.in_channels != channels:
            raise PedsegError(
                f"decoder_stage {decoder_stage} has {channels} channels, the domain classifier reads "
                f"{classifier.in_channels}; build it for that stage"
            )
        self.classifier = classifier.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        self.reversal = GradientReversal()
        self.alpha_schedule = alpha_schedule
        self.decoder_stage = decoder_stage
        self.lambda_domain = lambda_domain
        self.gradient_norms: dict[str, Tensor] = {}

    def on_train_epoch_start(self) -> None:
        """Set the epoch's learning rate and alpha."""
        super().on_train_epoch_start()
        self.reversal.set_alpha(self.alpha_schedule(self.progress))
        self.log("train/alpha", self.reversal.alpha.clone())

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of a batch of source and target patches; a side that is absent contributes nothing."""
        images = {domain: batch[domain]["image"] for domain in Domain if domain in batch}
        output = self.network.forward_features(self.to_layout(torch.cat(list(images.values()))))
        if Domain.SOURCE in images:
            n = len(images[Domain.SOURCE])
            loss_seg = self.loss([head[:n] for head in output.logits], self.to_layout(batch["source"]["label"]))
            self.log_mean("train/loss_seg", loss_seg, samples=n)
        else:  # a gradient of zero for the heads: every parameter takes part in every step, as DDP expects
            loss_seg = sum(0.0 * head.float().mean() for head in output.logits)
        features = output.decoder[self.decoder_stage - 1]
        indices = [DOMAIN_INDEX[domain] for domain, image in images.items() for _ in image]
        domain = torch.tensor(indices, device=features.device)
        branch = features.view_as(features)
        if features.requires_grad and self._logs_gradients(batch_index):
            self._watch(features, branch)
        domain_logits = self.classifier(self.reversal(branch)).float()
        loss_domain = F.cross_entropy(domain_logits, domain)
        loss: Tensor = loss_seg + self.lambda_domain * loss_domain
        self._log_domain(domain_logits, domain, loss_domain)
        self.log_mean("train/loss", loss, samples=len(domain))
        return loss

    def on_after_backward(self) -> None:
        """Log the gradient norms that the hooks of this step have left."""
        for name, norm in self.gradient_norms.items():
            # Each process averages its loss over its own samples: with W processes its gradient is W times its share.
            square = torch.as_tensor(self.trainer.strategy.reduce(norm.square(), reduce_op="mean"))
            self.log_mean(f"train/gradient_{name}", (square / self.trainer.world_size).sqrt(), samples=1)
        self.gradient_norms.clear()

    def description(self) -> dict[str, Any]:
        """What a checkpoint needs beside its tensors, in plain Python."""
        adaptation = {
            "decoder_stage": self.decoder_stage,
            "lambda_domain": float(self.lambda_domain),
            "classifier": self.classifier.settings,
        }
        return {**super().description(), "adaptation": adaptation}

    def _log_domain(self, domain_logits: Tensor, domain: Tensor, loss_domain: Tensor) -> None:
        correct = (domain_logits.argmax(1) == domain).float()
        self.log_mean("train/loss_domain", loss_domain, samples=len(domain))
        self.log_mean("train/domain_accuracy", correct.mean(), samples=len(domain))
        for name, index in DOMAIN_INDEX.items():
            side = correct[domain == index]
            if len(side):
                self.log_mean(f"train/{name}/domain_accuracy", side.mean(), samples=len(side))

    def _logs_gradients(self, batch_index: int) -> bool:
        interval: int = getattr(self.trainer, "log_every_n_steps", 0)  # set by Lightning's logger connector
        return batch_index == 0 or (interval > 0 and (batch_index + 1) % interval == 0)

    def _watch(self, features: Tensor, branch: Tensor) -> None:
        """Take the norms of the two gradients that meet at `features`, without a second backward.

        Autograd calls the hook of the branch first: the gradient at `features` is the sum of the branch's and of what
        comes back through the rest of the network.
        """
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        scale = float(scaler.get_scale()) if scaler is not None else 1.0
        arrived: list[Tensor] = []

        def keep(gradient: Tensor) -> None:
            arrived.append(gradient.detach().float())
            self.gradient_norms["domain"] = arrived[0].norm() / scale

        def split(gradient: Tensor) -> None:
            self.gradient_norms["seg"] = (gradient.detach().float() - arrived.pop()).norm() / scale

        branch.register_hook(keep)  # type: ignore[no-untyped-call]
        features.register_hook(split)  # type: ignore[no-untyped-call]
