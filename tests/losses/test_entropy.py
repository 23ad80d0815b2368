"""Entropies against values by hand and against the formula in float64."""

import math

import pytest
import torch

from pedseg.losses import binary_entropy, self_information


def test_self_information_of_both_outcomes() -> None:
    information = self_information(torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1, 1)).flatten()
    expected = [0.5 * math.log(2), -0.75 * math.log(0.75), 0.5 * math.log(2), -0.25 * math.log(0.25)]
    assert information.tolist() == pytest.approx(expected, rel=1e-5)
    assert self_information(torch.zeros(1, 3, 2, 2, 2, dtype=torch.bfloat16)).dtype == torch.float32


def test_both_outcomes_add_up_to_the_entropy() -> None:
    logits = 4 * torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    p = logits.double().sigmoid()
    exact = -p * p.log() - (1 - p) * (1 - p).log()
    torch.testing.assert_close(binary_entropy(logits).double(), exact, atol=1e-6, rtol=0)
    yes, no = self_information(logits).chunk(2, dim=1)
    assert torch.equal(binary_entropy(logits), yes + no)


def test_entropy_and_gradient_are_finite_for_any_logit() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        logits = torch.tensor([0.0, 90, -90, 1e4, -1e4], dtype=dtype, requires_grad=True)
        entropy = binary_entropy(logits)
        assert entropy.dtype == torch.float32
        assert entropy.tolist() == pytest.approx([math.log(2), 0, 0, 0, 0], abs=1e-6)
        (gradient,) = torch.autograd.grad(entropy.sum(), logits)
        assert gradient.isfinite().all()
