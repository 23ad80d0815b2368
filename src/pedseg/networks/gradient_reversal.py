"""Gradient reversal layer (Ganin et al. 2016, section 4.2)."""

from typing import Any

import torch
from torch import Tensor, nn


class GradientReversal(nn.Module):
    """Identity forward, ``-alpha`` times the gradient backward.

    Attributes:
        alpha: strength of the reversal, a float32 scalar buffer, so that it moves and is saved with the module. It
            takes effect at the next forward; the backward of an earlier forward keeps the value it was made with. With
            alpha 0 the gradient is exactly zero, whatever comes in.
    """

    alpha: Tensor

    def __init__(self, alpha: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("alpha", torch.tensor(float(alpha)))

    def set_alpha(self, alpha: float) -> None:
        """Set the strength, in place."""
        self.alpha.fill_(alpha)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`, of any shape and precision."""
        reversed_: Tensor = _Reverse.apply(x, self.alpha)  # type: ignore[no-untyped-call]
        return reversed_


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor) -> Tensor:  # noqa: ANN401  (torch's own type)
        ctx.save_for_backward(alpha.clone())
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401  (torch's own type)
        (alpha,) = ctx.saved_tensors
        strength = alpha.to(gradient.dtype)
        return torch.where(alpha == 0, torch.zeros_like(gradient), gradient * -strength), None
