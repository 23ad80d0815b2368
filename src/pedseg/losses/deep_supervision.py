"""A loss over the segmentation heads of every decoder stage."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from pedseg.errors import PedsegError


class DeepSupervisionLoss(nn.Module):
    """Weighted sum of a loss over heads of falling size.

    Weights halve from head to head, the deepest is 0, and they sum to 1: .5333 .2667 .1333 .0667 0 for five heads
    (nnU-Net, Isensee et al. 2021). A single head has weight 1. Labels are resampled to each head by nearest-exact
    interpolation. A head of weight 0 enters with a gradient of exactly zero, so that distributed training finds no
    unused parameter.

    Args:
        loss: loss of logits and label.
        weights: one non-negative weight per head, full size first, in place of the above; they are normalised.

    Raises:
        PedsegError: a weight is negative or all are zero.
    """

    def __init__(self, loss: nn.Module, *, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        if weights is not None and (min(weights, default=0) < 0 or sum(weights) <= 0):
            raise PedsegError(f"deep supervision weights {list(weights)} must be 0 or more, and one above 0")
        self.loss = loss
        self.weights = None if weights is None else tuple(float(weight) for weight in weights)

    def forward(self, logits: Sequence[Tensor], label: Tensor) -> Tensor:
        """Loss of the logits of each head, full size first, and the full-size label, with ignored voxels or without.

        Raises:
            PedsegError: there are not as many weights as heads.
        """
        weights = self.head_weights(len(logits))
        terms = [
            weight * self.loss(head, _resample(label, head)) if weight else 0.0 * head.float().mean()
            for weight, head in zip(weights, logits, strict=True)
        ]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    def head_weights(self, heads: int) -> tuple[float, ...]:
        """Weights of `heads` heads, which sum to 1."""
        weights = self.weights or (*(0.5**head for head in range(max(heads - 1, 1))), 0.0)[:heads]
        if len(weights) != heads:
            raise PedsegError(f"{len(weights)} deep supervision weights for {heads} heads; give one for each")
        return tuple(weight / sum(weights) for weight in weights)


def _resample(label: Tensor, head: Tensor) -> Tensor:
    if label.shape[2:] == head.shape[2:]:
        return label
    return F.interpolate(label.float(), size=head.shape[2:], mode="nearest-exact")
