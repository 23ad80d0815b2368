"""nnU-Net's loss for overlapping regions: binary cross-entropy plus negative soft Dice."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pedseg.ignored import parted

SMOOTH = 1e-5  # added to numerator and denominator of the Dice, as in nnU-Net v2


class DiceBCELoss(nn.Module):
    """``bce_weight * BCE - dice_weight * Dice`` of logits and region masks.

    BCE is the mean over all elements of the binary cross-entropy with logits. Dice is the mean over samples and
    regions of ``(2 I + 1e-5) / (G + P + 1e-5)`` with I, G and P the sums of probability times label, of label and of
    probability (Isensee et al. 2021; nnU-Net's `batch_dice` off), in float32 whatever the precision of the logits.
    A sample without a region still counts, with Dice near 0 as soon as anything is predicted.

    A label with one mask more than the logits says there which voxels are ignored. The loss is then that of the others:
    BCE the mean over them and the regions, of the samples of one process; Dice without them in any sum; the gradient
    at ignored voxels 0. A sample that is ignored whole has Dice 1, as one that is rightly empty. nnU-Net masks the same
    way, but divides the BCE of all regions by the number of voxels alone: ``bce_weight=3``.

    The released code of Fu et al. 2024 divides a three-channel BCE by a one-channel mask and averages the Dice over the
    two masked samples besides the two others: ``bce_weight=3, dice_weight=0.5`` (its constant is left out).

    Args:
        bce_weight: weight of the cross-entropy.
        dice_weight: weight of the Dice.
    """

    def __init__(self, *, bce_weight: float = 1.0, dice_weight: float = 1.0) -> None:
        super().__init__()
        self.bce_weight = bce_weight
        self.dice_weight = dice_weight

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Loss, a scalar, of logits (B, regions, D, H, W) and label (B, regions or regions + 1, D, H, W).

        The label is 0 or 1 of any type.
        """
        with torch.autocast(logits.device.type, enabled=False):
            logits, (regions, ignored) = logits.float(), parted(label.float(), logits.shape[1])
            if ignored is None:
                bce, dice = F.binary_cross_entropy_with_logits(logits, regions), soft_dice(logits.sigmoid(), regions)
            else:
                bce, dice = _without(ignored, logits, regions)
            return self.bce_weight * bce - self.dice_weight * dice.mean()


def soft_dice(probability: Tensor, label: Tensor) -> Tensor:
    """Soft Dice (B, regions) of probability and label (B, regions, D, H, W), both float32."""
    space = tuple(range(2, label.ndim))
    intersection = (probability * label).sum(space)
    return (2 * intersection + SMOOTH) / (label.sum(space) + probability.sum(space) + SMOOTH)


def _without(ignored: Tensor, logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """BCE, a scalar, and soft Dice (B, regions) of the voxels that are not ignored (B, 1, D, H, W)."""
    kept = 1 - ignored
    total = F.binary_cross_entropy_with_logits(logits, label, weight=kept, reduction="sum")
    bce = total / (logits.shape[1] * kept.sum()).clamp(min=1)
    return bce, soft_dice(logits.sigmoid() * kept, label * kept)
