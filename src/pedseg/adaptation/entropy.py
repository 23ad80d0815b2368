"""Confident predictions on the target: entropy minimisation (Grandvalet and Bengio 2005; MinEnt of Vu et al. 2019)."""

from typing import Any

from torch import Tensor

from pedseg.adaptation.method import Method, Stage, Step, Takes, brain_mean, inside, ramp
from pedseg.labels import Domain
from pedseg.losses import binary_entropy
from pedseg.settings.signature import NotNegative, Share


class EntropyMinimisation(Method):
    """Weight times the mean binary entropy, in nats, of the target's probabilities over brain voxels and regions.

    At most ``ln 2`` times the weight. Alone it tends to the trivial answer that there is no tumour; a `SizePrior`
    beside it does not. A mean over samples (`brain_mean`), so that two processes learn what one does.

    Logged per epoch: ``loss_entropy``, ``entropy_weight``.

    Args:
        weight: of the loss at the end of its rise.
        start: progress in [0, 1) at which the weight begins to rise.
        end: and at which it is reached.

    Raises:
        SettingError: the weight does not rise.
    """

    stage = Stage.OUTPUTS
    takes = Takes.OUTPUTS
    strengths = ("weight",)

    def __init__(self, *, weight: NotNegative = 0.5, start: Share = 0.2, end: Share = 0.6) -> None:
        super().__init__()
        self.weight_schedule = ramp(maximum=weight, start=start, end=end)
        self.weight = 0.0

    def start_epoch(self, progress: float) -> dict[str, float]:
        """Set the weight."""
        self.weight = self.weight_schedule(progress)
        return {"entropy_weight": self.weight}

    def loss(self, step: Step) -> Tensor | None:
        """Weighted entropy of the target's part of the batch."""
        logits = step.target_logits()
        if logits is None:
            return None
        loss = brain_mean(binary_entropy(logits), inside(step.images[Domain.TARGET]))
        step.log("loss_entropy", loss, len(logits))
        return self.weight * loss

    def description(self) -> dict[str, Any]:
        """Weight of the epoch."""
        return {"weight": float(self.weight)}
