"""Epoch means that tell of the adversary, by the names they are logged with."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

CHANCE = math.log(2)  # L_d of a classifier that knows nothing about two equally frequent domains, in nats


@dataclass(frozen=True, slots=True)
class Epoch:
    """Means of one epoch; NaN is what was not logged.

    Attributes:
        number: counted from 0.
        alpha: strength of the reversal.
        loss_domain: L_d in nats, without its weight.
        accuracy_source: fraction of the source that the classifier recognises.
        accuracy_target: the same of the target.
        gradient_seg: norm of the gradient of all other terms at the split.
        gradient_domain: norm of the reversed gradient of ``lambda L_d`` there.
        source_dice: mean Dice of the source validation patches.
    """

    number: int
    alpha: float = math.nan
    loss_domain: float = math.nan
    accuracy_source: float = math.nan
    accuracy_target: float = math.nan
    gradient_seg: float = math.nan
    gradient_domain: float = math.nan
    source_dice: float = math.nan

    @property
    def accuracy(self) -> float:
        """Mean of both domains: 0.5 is chance, however many patches each has."""
        return (self.accuracy_source + self.accuracy_target) / 2

    @property
    def gradient_ratio(self) -> float:
        """Reversed gradient over that of all other terms; NaN where either is not known or nothing is reversed."""
        if math.isnan(self.gradient_seg + self.gradient_domain) or not self.alpha > 0:
            return math.nan
        return self.gradient_domain / self.gradient_seg if self.gradient_seg > 0 else math.inf


METRICS = {
    "alpha": "train/alpha",
    "loss_domain": "train/loss_domain",
    "accuracy_source": "train/source/domain_accuracy",
    "accuracy_target": "train/target/domain_accuracy",
    "gradient_seg": "train/gradient_seg",
    "gradient_domain": "train/gradient_domain",
    "source_dice": "val/source/dice_mean",
}


def epoch_of(number: int, metrics: Mapping[str, float]) -> Epoch:
    """The means of epoch `number` by the names that they are logged with; what is absent becomes NaN."""
    return Epoch(number, **{field: float(metrics.get(name, math.nan)) for field, name in METRICS.items()})
