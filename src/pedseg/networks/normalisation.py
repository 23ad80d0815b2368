"""Instance normalisation that keeps the memory layout of its input."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class InstanceNorm(nn.InstanceNorm3d):
    """`torch.nn.InstanceNorm3d` (affine, no running statistics), without layout copies on the CPU.

    PyTorch's own instance norm reshapes to (1, B·C, D, H, W) and therefore copies a channels-last tensor there and
    back. A group norm with one channel per group is the same function (biased variance, `eps` inside the root, Wu and
    He 2018) and has channels-last CPU kernels for float32 and bfloat16. Other devices and layouts take PyTorch's
    instance norm.
    """

    def __init__(self, num_features: int, *, eps: float = 1e-5) -> None:
        super().__init__(num_features, eps=eps, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, D, H, W) over D, H, W of each sample and channel."""
        if x.device.type == "cpu" and x.is_contiguous(memory_format=torch.channels_last_3d):
            return F.group_norm(x, self.num_features, self.weight, self.bias, self.eps)
        normalised: Tensor = super().forward(x)
        return normalised
