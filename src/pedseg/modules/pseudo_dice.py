"""nnU-Net's online validation score: one Dice per region over all validation patches together."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pedseg.ignored import judged

EMA_DECAY = 0.9  # nnU-Net: 0.9 of the past, 0.1 of the epoch


class PseudoDice(nn.Module):
    """Hard true positives, false positives and false negatives over patches, and the moving average of their Dice.

    It is "pseudo" because the patches of all cases are pooled: it shows progress and is no result.

    Attributes:
        counts: (3, regions) int64, rows true positive, false positive, false negative; not saved.
        ema: moving average of the mean Dice, NaN before the first epoch; saved with the module.
    """

    counts: Tensor
    ema: Tensor

    def __init__(self, *, regions: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(3, regions, dtype=torch.int64), persistent=False)
        self.register_buffer("ema", torch.tensor(float("nan")))

    def reset(self) -> None:
        """Forget the counts."""
        self.counts.zero_()

    @torch.no_grad()
    def update(self, logits: Tensor, label: Tensor) -> None:
        """Count logits (B, regions, D, H, W), foreground above 0, against a label, which may ignore voxels."""
        prediction, label, _ = judged(logits > 0, label > 0.5)  # noqa: PLR2004  (halfway between its two values)
        space = (0, 2, 3, 4)
        hit = (prediction & label).sum(space)
        self.counts += torch.stack([hit, prediction.sum(space) - hit, label.sum(space) - hit])

    def compute(self, gather: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Dice per region (NaN where neither label nor prediction has it) and their mean without NaN.

        The moving average takes the mean in, unless it is NaN.

        Args:
            gather: sums the counts over processes.
        """
        hit, extra, missed = gather(self.counts).double()
        dice = (2 * hit / (2 * hit + extra + missed)).float()
        mean = dice.nanmean()
        past = torch.where(self.ema.isnan(), mean, self.ema)
        self.ema.copy_(torch.where(mean.isnan(), self.ema, EMA_DECAY * past + (1 - EMA_DECAY) * mean))
        return dice, mean
