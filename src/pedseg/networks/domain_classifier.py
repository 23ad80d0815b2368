"""Classifier that tells the source from the target domain by the features of a decoder stage."""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pedseg.errors import PedsegError
from pedseg.networks.contract import Norm
from pedseg.networks.convolution import Convolution
from pedseg.networks.layers import NEGATIVE_SLOPE
from pedseg.networks.normalisation import InstanceNorm

Pooling = Literal["flatten", "average", "none"]

FEWEST_SHARED = 3  # first, middle and last block


UNSAFE_DEPTH = 2


class DomainClassifier(nn.Module):
    """Domain logits of feature maps (Fu et al. 2024, section 2.1 and Fig. 2); index 0 is the source, 1 the target.

    Each block is two (convolution 3³, norm, LeakyReLU) and a max-pool that halves the size; then a fully connected
    layer of `channels` units with ReLU and two logits. Weights start from Kaiming's normal distribution.

    `shared_blocks` builds the authors' released code instead: the blocks between the first and the last are one object
    with one set of weights, and the last block is not pooled. At decoder stage 4 of the 128³ network (64 channels of
    64³ voxels) that has 6,644,902 parameters; the fully connected layer reads 51,200 values. The released code puts
    the target at index 0: swap the two rows of `output` when its weights are loaded.

    Args:
        in_channels: channels of the decoder stage.
        input_size: its spatial size for a training patch.
        channels: channels of every block, and units of the hidden layer.
        blocks: number of blocks.
        shared_blocks: share the middle blocks and leave the last one unpooled.
        pooling: "flatten" as in the paper, which ties the classifier to `input_size`; "average" over space, which
            takes any size; "none": fully convolutional, every place of the pooled map has domain logits of its own.
        norm: "instance" or "batch".

    Attributes:
        settings: the constructor's arguments as plain Python.

    Raises:
        PedsegError: the stage is too small for the pools, or a setting is out of its range.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        input_size: Sequence[int],
        channels: int = 100,
        blocks: int = 4,
        shared_blocks: bool = False,
        pooling: Pooling = "flatten",
        norm: Norm = "instance",
    ) -> None:
        super().__init__()
        pools = blocks - 1 if shared_blocks else blocks
        _check(blocks=blocks, shared_blocks=shared_blocks, pooling=pooling, norm=norm, channels=channels)
        # The unpooled last block normalises what the pools leave: an instance norm needs more than one voxel.
        size = _pooled_size(input_size, pools=pools, voxels=2 if shared_blocks and norm == "instance" else 1)
        self.settings: dict[str, Any] = {
            "in_channels": int(in_channels),
            "input_size": [int(n) for n in input_size],
            "channels": int(channels),
            "blocks": int(blocks),
            "shared_blocks": bool(shared_blocks),
            "pooling": str(pooling),
            "norm": str(norm),
        }
        self.in_channels = in_channels
        self.pools = pools
        self.pooling = pooling
        first = _block(in_channels, channels, norm)
        if shared_blocks:
            middle = _block(channels, channels, norm)
            rest = [middle] * (blocks - FEWEST_SHARED + 1) + [_block(channels, channels, norm)]
        else:
            rest = [_block(channels, channels, norm) for _ in range(blocks - 1)]
        self.order = _positions([first, *rest])
        self.blocks = nn.ModuleList(dict.fromkeys([first, *rest]))
        self.hidden = nn.Linear(channels * math.prod(size) if pooling == "flatten" else channels, channels)
        self.output = nn.Linear(channels, len(("source", "target")))
        self.flattened_size = size
        self.apply(_initialise)

    def forward(self, features: Tensor) -> Tensor:
        """Domain logits (B, 2), source first, of features (B, in_channels, D, H, W); (B, 2, d, h, w) without pooling.

        Raises:
            PedsegError: with pooling "flatten", the features have another size than `input_size`.
        """
        for step, position in enumerate(self.order):
            features = _in_safe_precision(self.blocks[position], features)
            if step < self.pools:
                features = F.max_pool3d(features, 2)
        if self.pooling == "none":
            vector = features.movedim(1, -1)
        elif self.pooling == "average":
            vector = features.mean((2, 3, 4))
        elif tuple(features.shape[2:]) == self.flattened_size:
            vector = features.flatten(1)
        else:
            raise PedsegError(
                f"the domain classifier reads {self.flattened_size} voxels after its pools, not "
                f"{tuple(features.shape[2:])}; train with the patch size it was built for or with pooling=average"
            )
        logits: Tensor = self.output(F.relu(self.hidden(vector)))
        return logits.movedim(-1, 1)


def _in_safe_precision(block: nn.Module, features: Tensor) -> Tensor:
    """Run a block, in float32 where bfloat16 would give wrong gradients.

    On the CPU, torch 2.13's bfloat16 gradient of a 3³ convolution's weight reads memory that was never written if the
    input is exactly two voxels deep: now and then it is infinite. Only the last blocks get that small.
    """
    unsafe = features.device.type == "cpu" and features.shape[2] == UNSAFE_DEPTH
    with torch.autocast("cpu", enabled=False) if unsafe else nullcontext():
        result: Tensor = block(features.float() if unsafe else features)
    return result


def _check(*, blocks: int, shared_blocks: bool, pooling: str, norm: str, channels: int) -> None:
    if pooling not in ("flatten", "average", "none"):
        raise PedsegError(f"pooling {pooling!r} is unknown; use 'flatten', 'average' or 'none'")
    if norm not in ("instance", "batch"):
        raise PedsegError(f"norm {norm!r} is unknown; use 'instance' or 'batch'")
    if channels < 1:
        raise PedsegError(f"channels {channels} must be at least 1")
    fewest = FEWEST_SHARED if shared_blocks else 1
    if blocks < fewest:
        raise PedsegError(f"blocks {blocks} must be at least {fewest}{' to share the middle ones' * shared_blocks}")


def _pooled_size(input_size: Sequence[int], *, pools: int, voxels: int) -> tuple[int, ...]:
    """Size after the pools, which must keep at least `voxels` voxels, one or more along each axis."""
    size = tuple(n // 2**pools for n in input_size)
    if math.prod(size) < voxels:
        raise PedsegError(
            f"the domain classifier's {pools} pools reduce the decoder stage of {tuple(input_size)} voxels to {size}; "
            "read a shallower decoder_stage (a higher number), take a larger patch or fewer blocks"
        )
    return size


def _positions(blocks: Sequence[nn.Module]) -> list[int]:
    """Index of each block among the distinct ones."""
    distinct = list(dict.fromkeys(blocks))
    return [distinct.index(block) for block in blocks]


def _block(in_channels: int, channels: int, norm: Norm) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before in (in_channels, channels):
        layers += [
            Convolution(before, channels, 3, padding=1),
            InstanceNorm(channels) if norm == "instance" else nn.BatchNorm3d(channels),
            nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
        ]
    return nn.Sequential(*layers)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv3d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, a=NEGATIVE_SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
