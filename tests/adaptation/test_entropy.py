"""Entropy against sums written out, and that its gradient lowers it."""

import math

import pytest
import torch

from pedseg.adaptation import EntropyMinimisation
from pedseg.labels import Domain
from tests.adaptation.steps import MakeStep, brainy

SIZE = (4, 8, 4)


def weighted(weight: float) -> EntropyMinimisation:
    method = EntropyMinimisation(weight=weight, start=-1.0, end=0.0)
    method.start_epoch(0.0)
    return method


def test_loss_equals_a_loop_over_voxels(make_step: MakeStep) -> None:
    images = {Domain.SOURCE: brainy(1, seed=1, size=SIZE), Domain.TARGET: brainy(2, size=SIZE)}
    logits = 3 * torch.randn(3, 3, *SIZE)
    expected = []
    for sample in (0, 1):
        entropies = []
        for z, y, x in torch.cartesian_prod(*map(torch.arange, SIZE)).tolist():
            if images[Domain.TARGET][sample, :, z, y, x].any():
                for region in range(3):
                    p = 1 / (1 + math.exp(-float(logits[1 + sample, region, z, y, x])))
                    entropies.append(-p * math.log(p) - (1 - p) * math.log(1 - p))
        expected.append(sum(entropies) / len(entropies))
    step, logged = make_step(images, logits)
    loss = weighted(0.5).loss(step)
    assert loss is not None
    assert float(loss) == pytest.approx(0.5 * sum(expected) / 2, rel=1e-5)
    assert logged["loss_entropy"] == (pytest.approx(sum(expected) / 2, rel=1e-5), 2)


def test_a_small_step_along_the_gradient_lowers_it_on_the_target_alone(make_step: MakeStep) -> None:
    images = {Domain.SOURCE: brainy(1, seed=1, size=SIZE), Domain.TARGET: brainy(1, size=SIZE)}
    logits = torch.randn(2, 3, *SIZE, requires_grad=True)
    before = weighted(1.0).loss(make_step(images, logits)[0])
    assert before is not None
    (gradient,) = torch.autograd.grad(before, logits)
    assert not gradient[0].any()
    assert not gradient[1, :, ~images[Domain.TARGET][0].any(0)].any()
    # A probability above one half rises, one below falls.
    moved = gradient[1] != 0
    assert torch.equal(-gradient[1].sign()[moved], logits.detach()[1].sign()[moved])
    after = weighted(1.0).loss(make_step(images, logits - 10 * gradient)[0])
    assert after is not None
    assert after < before


def test_it_is_finite_for_any_logits_and_at_most_ln_2(make_step: MakeStep) -> None:
    images = {Domain.TARGET: brainy(1, size=SIZE)}
    for value in (0.0, 90.0, -90.0, 1e4, -1e4):
        for dtype in (torch.float32, torch.bfloat16):
            logits = torch.full((1, 3, *SIZE), value, dtype=dtype, requires_grad=True)
            loss = weighted(1.0).loss(make_step(images, logits)[0])
            assert loss is not None
            assert loss.dtype == torch.float32
            (gradient,) = torch.autograd.grad(loss, logits)
            assert gradient.isfinite().all()
            assert loss.item() == pytest.approx(math.log(2) if value == 0 else 0.0, abs=1e-6)


def test_schedule_and_missing_target(make_step: MakeStep) -> None:
    method = EntropyMinimisation(weight=0.5, start=0.2, end=0.6)
    assert method.start_epoch(0.4) == {"entropy_weight": pytest.approx(0.25)}
    assert method.description() == {"weight": pytest.approx(0.25)}
    assert method.loss(make_step({Domain.SOURCE: brainy(1)}, torch.zeros(1, 3, 16, 16, 16))[0]) is None


def test_a_patch_without_brain_counts_nothing(make_step: MakeStep) -> None:
    logits = torch.randn(1, 3, *SIZE, requires_grad=True)
    loss = weighted(1.0).loss(make_step({Domain.TARGET: torch.zeros(1, 4, *SIZE)}, logits)[0])
    assert loss is not None
    assert float(loss) == 0
    assert not torch.autograd.grad(loss, logits)[0].any()
