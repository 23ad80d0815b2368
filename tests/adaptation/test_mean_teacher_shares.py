"""Mean teacher with known shares: labels, sureness and loss by hand, and nothing of it without shares."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pedseg.adaptation import Draw
from pedseg.adaptation.mean_teacher import AUGMENTED, block_mask
from pedseg.adaptation.strong import strongly_augmented
from pedseg.labels import Domain
from pedseg.networks import UNet
from tests.adaptation.steps import PATCH, MakeStep, brainy, teacher

DRAW = Draw(3, 1, 2)  # of the steps


def says_in_steps(samples: int, *, seed: int = 1) -> Tensor:
    """Logits of which none lies next to a border between bins or to a threshold made of them."""
    noise = 3 * torch.randn(samples, 3, *PATCH, generator=torch.Generator().manual_seed(seed))
    return (noise * 20).round() / 20 + 0.017


def test_loss_with_shares_by_hand(network: UNet, make_step: MakeStep) -> None:
    """In NumPy: labels from the threshold on and inside one another, sure at a distance from it."""
    images, says = brainy(2), says_in_steps(2)
    shares = {"wt": 0.3, "tc": 0.25, "et": 0.02}
    settings: dict[str, Any] = {"confidence": 0.8, "masked": 0.4, "block": 4, "decay": 0.0}
    method = teacher(network, says=says, shares=shares, **settings)
    step, logged = make_step({Domain.TARGET: images}, torch.zeros(2, 3, *PATCH))
    plain = teacher(network, says=says, **settings).loss(step)
    logged.clear()
    first = method.loss(step)
    assert first is not None
    assert {logged[f"threshold_{region}"] for region in ("wt", "tc", "et")} == {(0.0, 2)}  # nothing was counted before
    assert method.shares is not None
    method.shares.merge()  # with a decay of 0 one step is enough
    loss = method.loss(step)
    assert loss is not None

    logits, inside = says.double().numpy(), (images != 0).any(1).numpy()
    thresholds = [np.quantile(logits[:, i][inside], 1 - share) for i, share in enumerate(shares.values())]
    for region, wanted in zip(("wt", "tc", "et"), thresholds, strict=True):
        value, samples = logged[f"threshold_{region}"]
        assert samples == 2
        assert value == pytest.approx(wanted, abs=0.1)
    found = np.array([logged[f"threshold_{region}"][0] for region in ("wt", "tc", "et")])[:, None, None, None]
    seen = strongly_augmented(images, DRAW, purpose="student", probability=AUGMENTED, strength=0.5)
    student = network(seen * block_mask(images, DRAW, share=0.4, block=4)).detach().double().numpy()
    expected = []
    for answer, taught, brain in zip(student, logits, inside, strict=True):
        wt, tc, et = taught - found
        above = np.stack([wt, np.minimum(wt, tc), np.minimum(np.minimum(wt, tc), et)])
        label = above > 0
        sure = (np.abs(above) >= np.log(0.8 / 0.2)) & brain
        q = 1 / (1 + np.exp(-answer))
        expected.append(np.where(label, -np.log(q), -np.log(1 - q))[sure].sum() / (3 * brain.sum()))
    assert loss.item() == pytest.approx(np.mean(expected), rel=1e-4)
    assert plain is not None
    assert not torch.isclose(loss, plain)


def test_labels_lie_inside_one_another(network: UNet) -> None:
    says = says_in_steps(2)
    method = teacher(network, shares={"wt": 0.3, "tc": 0.28, "et": 0.25}, decay=0.0)
    assert method.shares is not None
    method.shares.count(says, torch.ones(2, 1, *PATCH, dtype=torch.bool))
    method.shares.merge()
    label, sure = method._labels(says)
    wt, tc, et = label.unbind(1)
    assert not (tc & ~wt).any()
    assert not (et & ~tc).any()
    assert et.any()
    assert wt.float().mean().item() == pytest.approx(0.3, abs=0.01)
    over = says > method.shares.thresholds().view(1, 3, 1, 1, 1)
    assert torch.equal(label, torch.stack([over[:, 0], over[:, :2].all(1), over.all(1)], dim=1))
    assert 0 < sure.float().mean() < 1
    distance = (says - method.shares.thresholds().view(1, 3, 1, 1, 1)).abs()
    unsure = distance[:, 0] < np.log(4)  # of WT: nothing inside it is then called no part of it with confidence
    assert not (sure[:, 1] & ~tc & unsure & over[:, 1]).any()
    assert (unsure & over[:, 1] & (distance[:, 1] > np.log(4))).any()


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.99])
def test_without_shares_labels_are_told_by_probabilities(network: UNet, confidence: float) -> None:
    """As FixMatch has it; regions are then independent of one another."""
    says = says_in_steps(2)
    method = teacher(network, confidence=confidence)
    label, sure = method._labels(says)
    p = says.double().sigmoid()
    assert torch.equal(label, p > 0.5)
    assert torch.equal(sure, torch.maximum(p, 1 - p) >= confidence)
    assert (label[:, 1] & ~label[:, 0]).any()
    assert method.shares is None
    assert not any("shares" in name for name in method.state_dict())
    assert method.description() == {"decay": 0.99, "confidence": confidence, "shares": {}}


def test_shares_are_counted_before_there_is_a_weight_and_saved(network: UNet, make_step: MakeStep) -> None:
    says = says_in_steps(1)
    idle = teacher(network, weight=0.0, says=says, shares={"wt": 0.3})
    active = teacher(network, says=says, shares={"wt": 0.3})
    for method in (idle, active):
        loss = method.loss(make_step({Domain.TARGET: brainy(1)}, says)[0])
        assert (loss is None) == (method is idle)
        method.teacher = network  # what follows the network must be like it
        method.finish_step(network)
    assert idle.shares is not None
    assert active.shares is not None
    assert (int(idle.shares.seen), int(active.shares.seen)) == (1, 1)
    assert torch.equal(idle.shares.mass, active.shares.mass)
    assert active.state_dict()["shares.mass"].sum(1).tolist() == [(brainy(1) != 0).any(1).sum()] * 3
    assert active.description()["shares"] == {"wt": 0.3}
