"""Each warning comes once, at the epoch worked out by hand, and not for healthy curves."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from pedseg.health import CHANCE, RULES, Epoch, Finding, Thresholds, diagnose, epoch_of, judge

EPOCHS = 50
ALPHA_MAX = 3.0


def healthy(number: int) -> Epoch:
    """The paper's schedule in 50 epochs: the classifier learns, alpha rises from epoch 11 to 35 to 60 % accuracy."""
    ramp = min(max((number - 10) / 25, 0.0), 1.0)
    alpha = ALPHA_MAX * ramp
    accuracy = min(0.55 + 0.05 * number, 0.95) - 0.35 * ramp
    loss = -math.log(accuracy)  # of one that is as sure as it is right
    dice = 0.8 * (1 - math.exp(-(number + 1) / 8))
    return Epoch(number, alpha, loss, accuracy + 0.03, accuracy - 0.03, 2e-3, 2e-4 * alpha, dice)


def run(change: Callable[[Epoch], Epoch] = lambda epoch: epoch, *, epochs: int = EPOCHS) -> list[Epoch]:
    return [change(healthy(number)) for number in range(epochs)]


def found(epochs: Sequence[Epoch], *, alpha_max: float = ALPHA_MAX) -> dict[str, int]:
    findings = diagnose(epochs, alpha_max=alpha_max)
    assert len({finding.rule for finding in findings}) == len(findings)  # once each
    return {finding.rule: finding.epoch for finding in findings}


def text(epochs: Sequence[Epoch], rule: str) -> str:
    (finding,) = (f for f in diagnose(epochs, alpha_max=ALPHA_MAX) if f.rule == rule)
    return finding.text


def test_nothing_is_said_of_a_healthy_run() -> None:
    assert found(run()) == {}


def test_noise_of_short_epochs_is_no_warning() -> None:
    """Accuracies of 2 x 80 patches, gradients within a factor of two, Dice that jumps by 0.04."""
    for seed in range(20):
        rng = np.random.default_rng(seed)

        def noisy(epoch: Epoch, rng: np.random.Generator = rng) -> Epoch:
            source, target = (rng.binomial(80, a) / 80 for a in (epoch.accuracy_source, epoch.accuracy_target))
            gradient = epoch.gradient_domain * 2 ** rng.uniform(-1, 1)
            dice = epoch.source_dice + rng.normal(0, 0.04)
            return replace(
                epoch, accuracy_source=source, accuracy_target=target, gradient_domain=gradient, source_dice=dice
            )

        assert found(run(noisy)) == {}, seed


def test_a_classifier_that_does_not_reach_90_percent_before_alpha_rises() -> None:
    def slow(epoch: Epoch) -> Epoch:
        accuracy = min(0.5 + 0.03 * epoch.number, 0.95)  # 80 % in epoch 10, the last without reversal
        return replace(epoch, accuracy_source=accuracy, accuracy_target=accuracy)

    assert found(run(slow))["weak classifier"] == 11
    said = text(run(slow), "weak classifier")
    assert "80%" in said
    assert "adaptation.dann.alpha_start" in said


def test_reaching_90_percent_once_is_enough_and_no_reversal_needs_none() -> None:
    def once(epoch: Epoch) -> Epoch:
        accuracy = 0.91 if epoch.number == 4 else 0.7
        return replace(epoch, accuracy_source=accuracy, accuracy_target=accuracy)

    assert "weak classifier" not in found(run(once))
    control = [replace(epoch, alpha=0.0, accuracy_source=0.7, accuracy_target=0.7) for epoch in run()]
    assert found(control, alpha_max=0.0) == {}


def test_a_loss_at_chance_from_the_start() -> None:
    stuck = run(lambda epoch: replace(epoch, loss_domain=CHANCE + 0.015 * (-1) ** epoch.number))
    assert found(stuck)["L_d at chance"] == 4
    assert "adaptation.dann.lambda_domain" in text(stuck, "L_d at chance")


def test_a_loss_at_chance_later_or_not_quite_is_not_from_the_start() -> None:
    later = run(lambda epoch: replace(epoch, loss_domain=CHANCE if epoch.number else 0.9))
    below = run(lambda epoch: replace(epoch, loss_domain=CHANCE - 0.03))
    resumed = [replace(epoch, number=epoch.number + 7, loss_domain=CHANCE) for epoch in run()]
    for curves in (later, below, resumed):
        assert "L_d at chance" not in found(curves)


def test_vanishing_is_judged_at_the_final_alpha() -> None:
    """Five epochs into the ramp alpha is a fifth of its end: a ratio of 3e-4 there means 1.5e-3, one of 1e-4 5e-4."""
    weak = run(lambda epoch: replace(epoch, gradient_domain=2e-3 * 5e-4 * epoch.alpha / ALPHA_MAX))
    assert found(weak) == {"vanishing gradient": 15}
    assert "be 0.0005 of" in text(weak, "vanishing gradient")
    assert "Raise adaptation.dann.lambda_domain" in text(weak, "vanishing gradient")
    enough = run(lambda epoch: replace(epoch, gradient_domain=2e-3 * 1.5e-3 * epoch.alpha / ALPHA_MAX))
    assert found(enough) == {}


def test_why_a_gradient_vanishes_decides_what_to_change() -> None:
    def without(loss: Callable[[int], float]) -> str:
        dead = run(lambda epoch: replace(epoch, gradient_domain=0.0, loss_domain=loss(epoch.number)))
        return text(dead, "vanishing gradient")

    assert "lower adaptation.dann.classifier.blocks" in without(lambda _: 0.01)
    assert "lower adaptation.dann.alpha_max" in without(lambda number: 0.66 if number < 11 else 0.70)
    assert "Raise adaptation.dann.lambda_domain" in without(lambda _: CHANCE)  # it never knew


def test_dominating_needs_more_than_a_few_bad_epochs() -> None:
    def spikes(epoch: Epoch, *, first: int, last: int) -> Epoch:
        return replace(epoch, gradient_domain=1.0) if first <= epoch.number <= last else epoch

    assert found(run(lambda epoch: spikes(epoch, first=30, last=31))) == {}
    lasting = run(lambda epoch: spikes(epoch, first=30, last=49))
    assert found(lasting) == {"dominating gradient": 32}  # the median of 28 to 32
    assert "adaptation.dann.alpha_max" in text(lasting, "dominating gradient")


def test_a_gradient_of_nothing_else_dominates() -> None:
    assert "dominating gradient" in found(run(lambda epoch: replace(epoch, gradient_seg=0.0)))


def test_falling_source_dice_while_reversed() -> None:
    """0.7 up to epoch 29, 0.55 after: a mean of five has lost more than 0.1 with the fourth low one, in epoch 33."""
    fallen = run(lambda epoch: replace(epoch, source_dice=0.7 if epoch.number < 30 else 0.55))
    assert found(fallen) == {"source Dice falls": 33}
    assert "0.70 to 0.58" in text(fallen, "source Dice falls")
    before = run(lambda epoch: replace(epoch, source_dice=0.5 if 6 <= epoch.number < 10 else 0.7))
    assert found(before) == {}  # alpha is 0: no matter of the adversary


def test_validation_of_every_other_epoch_is_enough() -> None:
    def sparse(epoch: Epoch) -> Epoch:
        dice = 0.7 if epoch.number < 20 else 0.5
        return replace(epoch, source_dice=dice if epoch.number % 2 else math.nan)

    assert found(run(sparse)) == {"source Dice falls": 25}  # 21, 23 and 25 low: 0.12 of five


@pytest.mark.parametrize("sides", [(1.0, 0.0), (0.0, 1.0), (0.97, 0.04), (0.3, 0.7)])
def test_a_constant_classifier_is_a_collapse(sides: tuple[float, float]) -> None:
    """Whichever side it takes; and if it changes sides within an epoch, the accuracies add up to exactly 1."""

    def collapsed(epoch: Epoch) -> Epoch:
        return replace(epoch, accuracy_source=sides[0], accuracy_target=sides[1]) if epoch.number >= 20 else epoch

    assert found(run(collapsed)) == {"collapse": 24}
    assert "collapse here, no sign of adaptation" in text(run(collapsed), "collapse")


def test_domains_that_cannot_be_told_apart_are_no_collapse() -> None:
    rng = np.random.default_rng(0)

    def guessed(epoch: Epoch) -> Epoch:
        source, target = rng.binomial(80, 0.5, 2) / 80
        return replace(epoch, accuracy_source=source, accuracy_target=target) if epoch.number >= 20 else epoch

    assert found(run(guessed)) == {}


def test_a_classifier_that_stays_certain() -> None:
    """Alpha passes half of its end in epoch 23 (3 * 13/25); five epochs later it has had its chance."""
    certain = run(lambda epoch: replace(epoch, accuracy_source=1.0, accuracy_target=0.99))
    assert found(certain) == {"undisturbed": 27}
    control = [replace(epoch, alpha=0.0, gradient_domain=0.0) for epoch in certain]
    assert found(control, alpha_max=0.0) == {}


def test_judging_as_it_comes_equals_judging_afterwards() -> None:
    """What a run logs while it trains is what the report finds in its curves."""
    bad = run(lambda epoch: replace(epoch, gradient_domain=epoch.alpha, source_dice=0.9 - 0.015 * epoch.number))
    live: dict[str, Finding] = {}
    for end in range(1, len(bad) + 1):
        for finding in judge(bad[:end], alpha_max=ALPHA_MAX):
            live.setdefault(finding.rule, finding)
    assert list(live.values()) == diagnose(bad, alpha_max=ALPHA_MAX)
    assert set(live) == {"dominating gradient", "source Dice falls"}


def test_what_is_not_logged_is_not_judged() -> None:
    assert found([Epoch(number) for number in range(20)]) == {}
    assert judge([], alpha_max=1.0) == []
    epoch = epoch_of(3, {"train/alpha": 1.0, "train/gradient_domain": 0.5, "train/gradient_seg": 0.25, "train/loss": 9})
    assert epoch.number == 3
    assert epoch.gradient_ratio == 2
    assert math.isnan(epoch.accuracy)
    assert math.isnan(replace(epoch, alpha=0.0).gradient_ratio)  # nothing is reversed


def test_thresholds_are_settings() -> None:
    assert diagnose(run(), alpha_max=ALPHA_MAX, limits=Thresholds(warm_accuracy=0.99))[0].rule == "weak classifier"
    assert set(RULES) == {
        "weak classifier", "L_d at chance", "vanishing gradient", "dominating gradient", "source Dice falls",
        "collapse", "undisturbed",
    }  # fmt: skip
