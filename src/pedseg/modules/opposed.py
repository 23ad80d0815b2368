"""Supervised training on two labelled sides that an adversary tells apart: a control, no adaptation."""

import torch
from torch import Tensor

from pedseg.labels import Domain
from pedseg.modules.adaptation import AdaptationModule
from pedseg.modules.segmentation import Batch
from pedseg.networks import NetworkOutput


class OpposedModule(AdaptationModule):
    """`AdaptationModule` with a segmentation loss of both sides, whose labels the batch holds.

    The released code of Fu et al. 2024 trained so until 2025-05-22, though its second side was meant to be unlabelled:
    a mask that should have taken it out of the loss compared a list with a number. Batches with a labelled second side
    come from labelled cohorts named as ``data.opposed`` alone; a target's hold no label.
    """

    def _reads_target(self) -> bool:
        return True  # the loss is of both sides

    def _source_loss(self, batch: Batch, output: NetworkOutput) -> Tensor:
        label = self.to_layout(torch.cat([batch[domain]["label"] for domain in Domain if domain in batch]))
        loss: Tensor = self.loss(output.logits, label)
        self.log_mean("train/loss_seg", loss, samples=len(label))
        return loss
