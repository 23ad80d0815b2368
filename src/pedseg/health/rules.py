"""What the epoch means of a run say about its adversary, early and in words.

Pure rules without state: the callback judges each epoch as it ends, and the report judges the same curves again. A rule
sees the epochs up to the present one only, so both come to the same findings.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean, median

from pedseg.health.adversary import KEY
from pedseg.health.epochs import CHANCE, Epoch


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where health ends.

    Attributes:
        patience: epochs in a row, or in a mean, before a rule speaks: an epoch mean is noisy where epochs are short,
            and one bad epoch is no trend.
        warm_accuracy: what the classifier should have reached in an epoch before anything is reversed. Its gradient
            points away from the domain only as far as it knows the domain.
        chance_band: nats around ln 2. A calibrated classifier that is right in 60 % of the cases has ln 2 - 0.020.
        vanishing: ratio of the gradients at full alpha. A thousandth is far below what differs from batch to batch.
        no_slope: nats. Below, the classifier is right by 95 to 5, and its loss has a tenth of the slope that it has at
            chance.
        dominating: ratio of the gradients. At 1 both pull equally at the features.
        dice_drop: of the source below its best, both means over `patience` validations. Of the order of what adapting
            can win on the target at best, and lost on the source already.
        constant_side: accuracy of the neglected domain, at most, and distance of the other from 1: a constant answer.
        exactly_half: distance of the mean accuracy from 0.5. A constant answer that changes sides during an epoch gives
            exactly 0.5 in every step; guesses on 160 patches do so in one epoch of 16, in five running in one of 10^6.
        certain_accuracy: of a classifier that the network does not disturb.
    """

    patience: int = 5
    warm_accuracy: float = 0.9
    chance_band: float = 0.02
    vanishing: float = 1e-3
    no_slope: float = 0.05
    dominating: float = 1.0
    dice_drop: float = 0.1
    constant_side: float = 0.05
    exactly_half: float = 1e-3
    certain_accuracy: float = 0.99


@dataclass(frozen=True, slots=True)
class Finding:
    """One warning.

    Attributes:
        rule: which rule speaks.
        epoch: number of the epoch after which it does, counted from 0.
        text: values, what they mean, and the setting to change.
    """

    rule: str
    epoch: int
    text: str


@dataclass(frozen=True, slots=True)
class Past:
    """What a rule sees.

    Attributes:
        epochs: up to the present one, which is the last.
        alpha_max: final strength of the reversal.
        key: of the adversary in the settings.
        limits: the thresholds.
    """

    epochs: Sequence[Epoch]
    alpha_max: float
    key: str
    limits: Thresholds

    @property
    def now(self) -> Epoch:
        """The present epoch."""
        return self.epochs[-1]

    def recent(self, value: Callable[[Epoch], float]) -> list[float]:
        """The last `patience` values, or none if there are fewer or one is not known."""
        values = [value(epoch) for epoch in self.epochs[-self.limits.patience :]]
        known = len(values) == self.limits.patience and not any(map(math.isnan, values))
        return values if known else []


def judge(
    epochs: Sequence[Epoch], *, alpha_max: float, key: str = KEY, limits: Thresholds = Thresholds()
) -> list[Finding]:
    """What there is to say after the last of `epochs`.

    Args:
        epochs: all epochs so far, in order.
        alpha_max: final strength of the reversal.
        key: of the adversary in the settings.
        limits: the thresholds.
    """
    past = Past(epochs, alpha_max, key, limits)
    said = {name: rule(past) for name, rule in RULES.items()} if epochs else {}
    return [Finding(name, past.now.number, text) for name, text in said.items() if text]


def diagnose(
    epochs: Sequence[Epoch], *, alpha_max: float, key: str = KEY, limits: Thresholds = Thresholds()
) -> list[Finding]:
    """The first finding of each rule over a whole run, in the order in which they came."""
    first: dict[str, Finding] = {}
    for end in range(1, len(epochs) + 1):
        for finding in judge(epochs[:end], alpha_max=alpha_max, key=key, limits=limits):
            first.setdefault(finding.rule, finding)
    return list(first.values())


def _weak_classifier(past: Past) -> str | None:
    *before, now = past.epochs
    known = [epoch.accuracy for epoch in before if not math.isnan(epoch.accuracy)]
    rises = now.alpha > 0 and all(epoch.alpha == 0 for epoch in before)
    if not rises or not known or max(known) >= past.limits.warm_accuracy:
        return None
    return (
        f"the domain classifier had at most {max(known):.0%} accuracy while alpha was 0, and "
        f"{past.limits.warm_accuracy:.0%} is wanted: there is little to reverse yet. Raise {past.key}.alpha_start (a "
        f"longer warm-up), {past.key}.lambda_domain (it scales the classifier's own steps too) or "
        f"{past.key}.classifier.channels"
    )


def _loss_at_chance(past: Past) -> str | None:
    limits, first = past.limits, past.epochs[0]
    losses = past.recent(lambda epoch: epoch.loss_domain)
    if len(past.epochs) != limits.patience or first.number != 0 or not losses:
        return None
    if max(abs(loss - CHANCE) for loss in losses) > limits.chance_band:
        return None
    return (
        f"L_d has been at ln 2 from the start ({min(losses):.3f} to {max(losses):.3f}): the classifier learns nothing. "
        f"Raise {past.key}.lambda_domain (it scales the classifier's steps) or optimizer.lr, or let it read another "
        f"{past.key}.decoder_stage"
    )


def _gradient_vanishes(past: Past) -> str | None:
    # Early on the ramp alpha is small by design: what counts is the ratio that the final alpha would give.
    ratios = past.recent(lambda epoch: epoch.gradient_ratio * past.alpha_max / epoch.alpha if epoch.alpha else math.nan)
    if not ratios or median(ratios) >= past.limits.vanishing:
        return None
    losses = [epoch.loss_domain for epoch in past.epochs if not math.isnan(epoch.loss_domain)]
    advice = f"Raise {past.key}.lambda_domain or {past.key}.alpha_max"
    if losses and losses[-1] < past.limits.no_slope:
        advice = f"L_d is {losses[-1]:.3f}, too low to have a slope: lower {past.key}.classifier.blocks or .channels"
    elif losses and losses[-1] > CHANCE - past.limits.chance_band > min(losses):
        advice = f"L_d is back at ln 2, the classifier has given up: lower {past.key}.alpha_max, so that it can keep up"
    return (
        f"the reversed gradient would be {median(ratios):.1g} of the other losses' at the split even at the final "
        f"alpha of {past.alpha_max:g}: the network hardly feels the classifier. {advice}"
    )


def _gradient_dominates(past: Past) -> str | None:
    ratios = past.recent(lambda epoch: epoch.gradient_ratio)
    if not ratios or median(ratios) <= past.limits.dominating:
        return None
    return (
        f"the reversed gradient is {median(ratios):.3g} times the other losses' at the split, with alpha "
        f"{past.now.alpha:.2g} of {past.alpha_max:g}: the classifier pulls harder at the features than the labels do. "
        f"Lower {past.key}.lambda_domain or {past.key}.alpha_max, unless source Dice keeps rising"
    )


def _source_dice_falls(past: Past) -> str | None:
    width = past.limits.patience
    known = [epoch for epoch in past.epochs if not math.isnan(epoch.source_dice)]
    if len(known) <= width or not all(epoch.alpha > 0 for epoch in known[-width:]):
        return None
    sums = [0.0, *accumulate(epoch.source_dice for epoch in known)]
    means = [(high - low) / width for low, high in zip(sums, sums[width:], strict=False)]
    best = max(means)
    if best - means[-1] <= past.limits.dice_drop:
        return None
    return (
        f"source validation Dice has fallen from {best:.2f} to {means[-1]:.2f} (means of {width} epochs) with alpha "
        f"at {past.now.alpha:.2g}: adapting costs the segmentation. Lower {past.key}.alpha_max or "
        f"{past.key}.lambda_domain, or raise {past.key}.alpha_start"
    )


def _collapse(past: Past) -> str | None:
    limits = past.limits
    sides = [past.recent(lambda epoch: epoch.accuracy_source), past.recent(lambda epoch: epoch.accuracy_target)]
    if not all(sides):
        return None
    pairs = list(zip(*sides, strict=True))
    constant = all(min(p) <= limits.constant_side and max(p) >= 1 - limits.constant_side for p in pairs)
    if not constant and any(abs(fmean(p) - 0.5) > limits.exactly_half for p in pairs):
        return None
    source, target = pairs[-1]
    return (
        f"the classifier gives every patch the same answer (recognised: {source:.0%} of the source, {target:.0%} of "
        f"the target): an accuracy of 50 % is a collapse here, no sign of adaptation. Lower {past.key}.alpha_max, so "
        "that the classifier can keep up; where alpha is 0, lower optimizer.lr"
    )


def _undisturbed(past: Past) -> str | None:
    strengths, accuracies = past.recent(lambda epoch: epoch.alpha), past.recent(lambda epoch: epoch.accuracy)
    if not strengths or not accuracies or not past.alpha_max > 0 or min(strengths) < past.alpha_max / 2:
        return None
    if min(accuracies) < past.limits.certain_accuracy:
        return None
    return (
        f"the classifier still recognises {accuracies[-1]:.1%} of the patches with alpha at {past.now.alpha:.2g} of "
        f"{past.alpha_max:g}: the features have not adapted. Raise {past.key}.lambda_domain or {past.key}.alpha_max"
    )


RULES: Mapping[str, Callable[[Past], str | None]] = {
    "weak classifier": _weak_classifier,
    "L_d at chance": _loss_at_chance,
    "vanishing gradient": _gradient_vanishes,
    "dominating gradient": _gradient_dominates,
    "source Dice falls": _source_dice_falls,
    "collapse": _collapse,
    "undisturbed": _undisturbed,
}
