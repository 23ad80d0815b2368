"""nnU-Net's U-Net with a residual encoder."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from pedseg.networks.contract import PER_STAGE, Channels, Form, Norm, PerAxis, Repeats, SegmentationNetwork
from pedseg.networks.convolution import Convolution
from pedseg.networks.layers import NEGATIVE_SLOPE, AveragePool, initialise
from pedseg.networks.normalisation import InstanceNorm
from pedseg.networks.topology import Topology, Triple, topology_of

ONE: Triple = (1, 1, 1)  # neither kernel nor stride


class ResidualUNet(SegmentationNetwork):
    """nnU-Net's ResidualEncoderUNet, as its presets ResEnc M, L and XL plan it (Isensee et al. 2024).

    A stem of one convolution-norm-LeakyReLU, then stages of residual blocks (`ResidualBlock`), more of them the deeper;
    transposed convolutions up, concatenated skips, one convolution-norm-LeakyReLU per decoder stage, 1³ segmentation
    heads. Stages, kernels and strides follow from `patch_size` and `spacing_mm` as those of the plain network do. At
    128³ and 1 mm the BraTS network has 102,353,167 parameters (five heads).

    Convolutions start from Kaiming's normal distribution, biases from 0; so does the scale of the last norm of a block,
    which then is the identity.

    Args:
        patch_size: voxels along z, y, x of a training patch.
        spacing_mm: voxel size along z, y, x.
        in_channels: image channels.
        out_channels: regions.
        base_features: channels of the first stage; they double with each stage.
        max_features: upper bound of the channels.
        norm: "instance" or "batch".
        conv_bias: biases on the convolutions, as nnU-Net has them although an instance norm cancels them.
        deep_supervision: a head on every decoder stage; without, only the full-size one.
        blocks: residual blocks of each stage; the last number is that of all further stages.
        decoder_convolutions: of each decoder stage.
        features: channels of each stage, with `kernels` and `strides` an explicit plan in place of the rule.
        kernels: convolution kernel (z, y, x) of each stage.
        strides: stride (z, y, x) of each stage.

    Raises:
        PedsegError: the patch does not fit the topology (`plan_topology`), or the norm is unknown.
    """

    name = "residual_unet"
    title = "nnU-Net's U-Net with a residual encoder"
    reference = "Isensee et al. 2024, https://arxiv.org/abs/2404.09556"

    def __init__(
        self,
        *,
        patch_size: Sequence[int],
        spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
        in_channels: Channels = 4,
        out_channels: Channels = 3,
        base_features: Channels = 32,
        max_features: Channels = 320,
        norm: Norm = "instance",
        conv_bias: bool = True,
        deep_supervision: bool = False,
        blocks: Annotated[Sequence[Repeats], Field(min_length=1, max_length=16)] = (1, 3, 4, 6, 6, 6),
        decoder_convolutions: Repeats = 1,
        features: Annotated[Sequence[Channels], PER_STAGE] | None = None,
        kernels: Annotated[Sequence[PerAxis], PER_STAGE] | None = None,
        strides: Annotated[Sequence[PerAxis], PER_STAGE] | None = None,
    ) -> None:
        form = Form(patch_size, spacing_mm, in_channels, out_channels, norm, deep_supervision)
        topology = topology_of(
            patch_size=patch_size,
            spacing_mm=spacing_mm,
            base_features=base_features,
            max_features=max_features,
            features=features,
            kernels=kernels,
            strides=strides,
        )
        stages = len(topology.features)
        blocks = [*blocks, *[blocks[-1]] * stages][:stages]
        layers = _Layers(norm, bias=conv_bias)
        heads = topology.features[: stages - 1 if deep_supervision else 1]
        super().__init__(
            form=form,
            topology=topology,
            encoder=list(_encoder(topology, in_channels, blocks, layers)),
            decoder=[UpStage(topology, stage, decoder_convolutions, layers) for stage in reversed(range(stages - 1))],
            seg_layers=[Convolution(channels, out_channels, 1) for channels in heads],
            arguments={
                "base_features": base_features,
                "max_features": max_features,
                "conv_bias": conv_bias,
                "blocks": blocks,
                "decoder_convolutions": decoder_convolutions,
                **(topology.as_lists() if features is not None else {}),
            },
        )
        self.apply(initialise)
        self.apply(_start_as_identity)

    @property
    def plan(self) -> dict[str, Any]:
        """Arguments that give a network of this kind the same stages, whatever patch it is for."""
        return {**super().plan, "blocks": self.settings["blocks"]}


class ResidualBlock(nn.Module):
    """Two convolutions with norms, added to what they were given (ResNet-D: He et al. 2019, section 4.2).

    With a stride the shortcut is averaged over as many voxels, with other channels it goes through a 1³ convolution
    without bias and a norm. A LeakyReLU follows the first convolution's norm, and the sum.
    """

    def __init__(self, before: int, after: int, kernel: Triple, stride: Triple, layers: "_Layers") -> None:
        super().__init__()
        self.conv1 = layers.convolution(before, after, kernel, stride)
        self.conv2 = layers.convolution(after, after, kernel, active=False)
        shortcut: OrderedDict[str, nn.Module] = OrderedDict()
        if stride != ONE:
            shortcut["pool"] = AveragePool(stride)
        if before != after:
            shortcut["project"] = replace(layers, bias=False).convolution(before, after, ONE, active=False)
        self.shortcut = nn.Sequential(shortcut)
        self.activation = nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, after, d, h, w) of features (B, before, D, H, W)."""
        activated: Tensor = self.activation(self.conv2(self.conv1(x)) + self.shortcut(x))
        return activated


class UpStage(nn.Module):
    """A transposed convolution, and convolutions of what it gives beside the encoder's features."""

    def __init__(self, topology: Topology, stage: int, convolutions: int, layers: "_Layers") -> None:
        super().__init__()
        channels, stride = topology.features[stage], topology.strides[stage + 1]
        self.up = nn.ConvTranspose3d(topology.features[stage + 1], channels, stride, stride)
        inputs = [2 * channels, *[channels] * (convolutions - 1)]
        kernel = topology.kernels[stage]  # that of the skip's stage
        self.convolutions = nn.Sequential(*(layers.convolution(before, channels, kernel) for before in inputs))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Features (B, channels, D, H, W) of those from below (B, below, d, h, w) and of the skip's size."""
        features: Tensor = self.convolutions(torch.cat([self.up(x), skip], dim=1))
        return features


@dataclass(frozen=True, slots=True)
class _Layers:
    """What the layers of a network have in common."""

    norm: Norm
    bias: bool

    def convolution(
        self, before: int, after: int, kernel: Triple, stride: Triple = ONE, *, active: bool = True
    ) -> nn.Sequential:
        """Convolution, norm and, if it is to be `active`, LeakyReLU."""
        z, y, x = ((size - 1) // 2 for size in kernel)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv"] = Convolution(before, after, kernel, stride, (z, y, x), bias=self.bias)
        layers["norm"] = InstanceNorm(after) if self.norm == "instance" else nn.BatchNorm3d(after)
        if active:
            layers["activation"] = nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)
        return nn.Sequential(layers)


def _encoder(topology: Topology, in_channels: int, blocks: Sequence[int], layers: _Layers) -> Iterator[nn.Module]:
    """A stage is its blocks; the first begins with the stem."""
    before = topology.features[0]
    plan = zip(topology.features, topology.kernels, topology.strides, blocks, strict=True)
    for stage, (after, kernel, stride, count) in enumerate(plan):
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        if stage == 0:
            parts["stem"] = layers.convolution(in_channels, after, kernel)
        first = ResidualBlock(before, after, kernel, stride, layers)
        parts["blocks"] = nn.Sequential(
            first, *(ResidualBlock(after, after, kernel, ONE, layers) for _ in range(count - 1))
        )
        yield nn.Sequential(parts)
        before = after


def _start_as_identity(module: nn.Module) -> None:
    if isinstance(module, ResidualBlock):
        nn.init.zeros_(module.conv2.get_parameter("norm.weight"))
