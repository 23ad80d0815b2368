"""Gradient reversal: identity forward, minus alpha times the gradient backward."""

import pytest
import torch

from pedseg.networks import GradientReversal


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
def test_gradient_is_reversed_and_scaled(alpha: float) -> None:
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn_like(x)
    y = GradientReversal(alpha)(x)
    assert torch.equal(y, x)
    (y.square() * weight).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, -alpha * 2 * x.detach() * weight, rtol=1e-12, atol=0)


def test_finite_differences_have_the_opposite_sign() -> None:
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)
    reversal = GradientReversal(2.0)
    reversal(x).sin().sum().backward()
    step = 1e-6
    numerical = ((x.detach() + step).sin() - (x.detach() - step).sin()) / (2 * step)
    assert x.grad is not None
    torch.testing.assert_close(x.grad, -2.0 * numerical, rtol=1e-8, atol=1e-9)


def test_alpha_zero_gives_exactly_zero_even_for_infinite_gradients() -> None:
    x = torch.randn(4, requires_grad=True)
    GradientReversal()(x).backward(torch.tensor([1.0, float("inf"), float("nan"), -1.0]))
    assert x.grad is not None
    assert torch.equal(x.grad, torch.zeros(4))


def test_alpha_is_a_buffer_and_fixed_by_the_forward() -> None:
    reversal = GradientReversal(1.0)
    assert list(reversal.state_dict()) == ["alpha"]
    assert not list(reversal.parameters())
    x = torch.ones(1, requires_grad=True)
    y = reversal(x)
    reversal.set_alpha(5.0)
    y.backward()
    assert x.grad is not None
    assert x.grad.item() == -1.0
    other = GradientReversal()
    other.load_state_dict(reversal.state_dict())
    assert other.alpha.item() == 5.0


def test_precision_of_the_features_is_kept_under_autocast() -> None:
    reversal = GradientReversal(0.3)
    x = torch.randn(3, 8, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = reversal(x)
        loss = torch.nn.functional.linear(y, torch.ones(1, 8)).sum()
    torch.autograd.backward(loss)
    assert y.dtype is torch.bfloat16
    assert x.grad is not None
    assert x.grad.dtype is torch.bfloat16
    torch.testing.assert_close(x.grad, torch.full_like(x, -0.3))
