"""Convolutions by the fastest way that a CPU has for them."""

import os
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

FEW_CHANNELS = 32  # from here on oneDNN's general kernel is as fast as its direct one

Triple = tuple[int, int, int]
Geometry = tuple[Triple, Triple]  # stride and padding along z, y, x


class Convolution(nn.Conv3d):
    """`torch.nn.Conv3d`, faster on CPUs for channels-last float32.

    A 1³ kernel is a product of matrices; PyTorch's own way to it copies the input into the other layout and takes five
    to ten times as long.

    For AVX2, oneDNN 3.12 has a direct kernel of the weight gradient only for inputs that are not padded in depth; it
    unfolds others into matrices, which with few channels takes longer than the forward and the input's gradient
    together. Here the input of such a layer comes with the planes of zeros that the padding stands for, and the weight
    gradient takes less than half the time. It is then as exact as on a CPU with AVX-512, which is a little less than by
    the slow way.

    Everything else, and every other device, is PyTorch's.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """Convolve (B, C, D, H, W)."""
        if not self._is_plain(input):
            return super().forward(input)
        if self.kernel_size == self.stride == (1, 1, 1) and self.padding == (0, 0, 0):
            weight = self.weight.view(self.out_channels, self.in_channels)
            return F.linear(input.movedim(1, -1), weight, self.bias).movedim(-1, 1)
        if not self._unfolds():
            return super().forward(input)
        output: Tensor = _PaddedByHand.apply(  # type: ignore[no-untyped-call]
            input, self.weight, self.bias, (self.stride, self.padding)
        )
        return output

    def _is_plain(self, x: Tensor) -> bool:
        """Whether the ways of this class are open: dense, on the CPU, in channels-last float32."""
        return (
            x.device.type == "cpu"
            and x.dtype is torch.float32
            and x.is_contiguous(memory_format=torch.channels_last_3d)
            and not torch.compiler.is_compiling()
            and not torch.is_autocast_enabled("cpu")
            and self.groups == max(self.dilation) == 1
            and self.padding_mode == "zeros"
        )

    def _unfolds(self) -> bool:
        """Whether PyTorch's weight gradient of this layer would take the slow way."""
        depth = self.padding[0]
        return (
            self.weight.requires_grad
            and torch.is_grad_enabled()
            and isinstance(depth, int)
            and depth > 0
            and min(self.in_channels, self.out_channels) < FEW_CHANNELS
            and _lacks_avx512()
        )


class _PaddedByHand(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:  # noqa: ANN401  (torch's own type)
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return F.conv3d(x, weight, bias, *geometry)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401  (torch's own type)
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad[:3]
        stride, (depth, height, width) = ctx.geometry
        gradient = gradient.contiguous(memory_format=torch.channels_last_3d)
        x_gradient = _gradients(gradient, x, weight, ctx.geometry, (True, False, False))[0] if of_x else None
        x = F.pad(x, (0, 0, 0, 0, depth, depth)).contiguous(memory_format=torch.channels_last_3d)
        _, *rest = _gradients(gradient, x, weight, (stride, (0, height, width)), (False, of_weight, of_bias))
        return x_gradient, *rest, None


def _gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, mask: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of input, weight and bias; None where `mask` is False."""
    stride, padding = geometry
    gradients: tuple[Tensor | None, Tensor | None, Tensor | None] = torch.ops.aten.convolution_backward(
        gradient, x, weight, [len(weight)], stride, padding, (1, 1, 1), False, (0, 0, 0), 1, mask
    )
    return gradients


@cache
def _lacks_avx512() -> bool:
    """Whether this is an x86 CPU whose convolutions have AVX2 and nothing wider."""
    able: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").lower()
    return bool(able.get("avx2")) and (not able.get("avx512_f") or limit.startswith("avx2"))
