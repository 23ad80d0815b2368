"""Instance normalisation by the fastest kernel for the layout of its input."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

SLAB = 8192  # voxels whose statistics one call sums up: few enough for float32 sums and for the cache


class InstanceNorm(nn.InstanceNorm3d):
    """`torch.nn.InstanceNorm3d` (affine, no running statistics) that neither copies layouts nor loses time on the CPU.

    PyTorch's own instance norm reshapes to (1, B·C, D, H, W): a channels-last tensor is copied there and back, and in
    float32 the batch-norm kernel it ends in is slower than the group norm's. With torch 2.13 it also returns a wrong
    gradient, on the CPU, for one sample of either layout whose incoming gradient is channels-last. There the same
    function is therefore computed, with the same biased variance and `eps` under the root, as

    - a group norm with one channel per group (Wu and He 2018) for contiguous tensors;
    - a batch norm of each sample apart for channels-last ones, whose kernels keep that layout forward and backward
      (the group norm's backward is ten times slower there).

    Other devices take PyTorch's instance norm. `tests/benchmarks/bench_network.py` measures the difference.
    """

    def __init__(self, num_features: int, *, eps: float = 1e-5) -> None:
        super().__init__(num_features, eps=eps, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, D, H, W) over D, H, W of each sample and channel."""
        if x.device.type != "cpu":
            normalised: Tensor = super().forward(x)
            return normalised
        if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last_3d):
            return F.group_norm(x, self.num_features, self.weight, self.bias, self.eps)
        channels_last: Tensor = _ChannelsLast.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        return channels_last


class _ChannelsLast(torch.autograd.Function):
    """Batch-norm kernels applied to one channels-last sample at a time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:  # noqa: ANN401  (torch's own type)
        out = torch.empty_like(x)
        means, scales = [], []
        for sample, result in zip(torch.split(x, 1), torch.split(out, 1), strict=True):
            mean, variance = _moments(sample)
            empty = mean.new_empty(0)
            torch.native_batch_norm(
                sample, weight, bias, mean, variance, False, 0.0, eps, out=(result, empty, empty.clone())
            )
            means.append(mean)
            scales.append((variance + eps).rsqrt())
        ctx.save_for_backward(x, weight, torch.stack(means), torch.stack(scales))
        ctx.eps = eps
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # noqa: ANN401  (torch's own type)
        x, weight, means, scales = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last_3d)
        parts = [
            torch.ops.aten.native_batch_norm_backward(
                g, sample, weight, None, None, mean, scale, True, ctx.eps, [True, True, True]
            )
            for g, sample, mean, scale in zip(torch.split(gradient, 1), torch.split(x, 1), means, scales, strict=True)
        ]
        inputs, weights, biases = zip(*parts, strict=True)
        x_gradient = inputs[0] if len(inputs) == 1 else torch.cat(inputs)
        return x_gradient, torch.stack(weights).sum(0), torch.stack(biases).sum(0), None


def _moments(sample: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance per channel of a channels-last (1, C, D, H, W), summed slab by slab.

    One call over 128³ voxels would add two million numbers in float32 and be 0.3 % off.
    """
    channels = sample.shape[1]
    slabs = torch.split(sample.permute(0, 2, 3, 4, 1).reshape(-1, channels), SLAB)
    unused = torch.zeros(2, channels)  # running statistics, which also make the kernel sum bfloat16 in float32
    moments = [torch.ops.aten.batch_norm_update_stats(slab, unused[0], unused[1], 0.0) for slab in slabs]
    sizes = torch.tensor([[len(slab)] for slab in slabs], dtype=torch.float32)
    sizes /= sizes.sum()
    means = torch.stack([mean for mean, _ in moments])
    variances = torch.stack([variance for _, variance in moments])
    mean = (sizes * means).sum(0)
    return mean, (sizes * (variances + (means - mean).square())).sum(0)
