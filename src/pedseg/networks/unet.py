"""nnU-Net's plain convolutional U-Net, assembled from the blocks of MONAI's DynUNet.

MONAI, which loads itself whole for three blocks, is imported when a network is built.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from pedseg.errors import PedsegError
from pedseg.networks.convolution import Convolution
from pedseg.networks.normalisation import InstanceNorm
from pedseg.networks.topology import AXES, Topology, Triple, plan_topology

Norm = Literal["instance", "batch"]

NEGATIVE_SLOPE = 0.01  # of the LeakyReLU, and of the Kaiming initialisation that goes with it
PARTS = ("encoder", "decoder", "seg_layers")


class UNetOutput(NamedTuple):
    """What training reads from the network.

    Attributes:
        logits: (B, out_channels, D, H, W) at full size, then with deep supervision the smaller heads at the size of
            their own decoder stage.
        decoder: feature maps of the decoder stages, stage 1 (deepest) first.
        bottleneck: feature maps of the last encoder stage.
    """

    logits: list[Tensor]
    decoder: list[Tensor]
    bottleneck: Tensor


def joined(outputs: Sequence[UNetOutput]) -> UNetOutput:
    """The outputs of parts of a batch as that of the whole."""
    if len(outputs) == 1:
        return outputs[0]
    return UNetOutput(
        logits=[torch.cat(heads) for heads in zip(*(output.logits for output in outputs), strict=True)],
        decoder=[torch.cat(maps) for maps in zip(*(output.decoder for output in outputs), strict=True)],
        bottleneck=torch.cat([output.bottleneck for output in outputs]),
    )


class UNet(nn.Module):
    """nnU-Net's PlainConvUNet; at 128³ and 1 mm its BraTS network of 31,198,991 parameters (five heads).

    Two convolution-norm-LeakyReLU per stage, strided convolutions down, transposed convolutions up, concatenated
    skips, 1³ segmentation heads (Isensee et al. 2021). Stages, kernels and strides follow from `patch_size` and
    `spacing_mm` (`pedseg.networks.topology`). Convolutions start from Kaiming's normal distribution, biases from 0.

    Args:
        patch_size: voxels along z, y, x of a training patch.
        spacing_mm: voxel size along z, y, x.
        in_channels: image channels.
        out_channels: regions.
        base_features: channels of the first stage; they double with each stage.
        max_features: upper bound of the channels.
        norm: "instance", or "batch" as in the released code of Fu et al. 2024.
        conv_bias: biases on the convolutions, as nnU-Net has them although an instance norm cancels them.
        deep_supervision: a head on every decoder stage; without, only the full-size one.
        features: channels of each stage, with `kernels` and `strides` an explicit plan (such as a trained nnU-Net's)
            in place of the rule.
        kernels: convolution kernel (z, y, x) of each stage.
        strides: stride (z, y, x) of each stage.
        thresholds: logit of each region above which a voxel belongs to it (see `calibrate`); all 0 if None.

    Raises:
        PedsegError: the patch does not fit the topology (`plan_topology`), the norm is unknown, or thresholds are not
            one for each region.
    """

    thresholds: Tensor | None

    def __init__(
        self,
        *,
        patch_size: Sequence[int],
        spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
        in_channels: int = 4,
        out_channels: int = 3,
        base_features: int = 32,
        max_features: int = 320,
        norm: Norm = "instance",
        conv_bias: bool = True,
        deep_supervision: bool = False,
        features: Sequence[int] | None = None,
        kernels: Sequence[Sequence[int]] | None = None,
        strides: Sequence[Sequence[int]] | None = None,
        thresholds: Sequence[float] | None = None,
    ) -> None:
        from monai.networks.blocks.dynunet_block import UnetOutBlock  # noqa: PLC0415

        super().__init__()
        if norm not in ("instance", "batch"):
            raise PedsegError(f"norm {norm!r} is unknown; use 'instance' or 'batch'")
        if features is not None and kernels is not None and strides is not None:
            self.topology = Topology.explicit(features=features, kernels=kernels, strides=strides)
        elif features is None and kernels is None and strides is None:
            self.topology = plan_topology(
                patch_size=patch_size, spacing_mm=spacing_mm, base_features=base_features, max_features=max_features
            )
        else:
            raise PedsegError("features, kernels and strides make a plan together; give all three or none")
        self._settings: dict[str, Any] = {
            "patch_size": [int(n) for n in patch_size],
            "spacing_mm": [float(s) for s in spacing_mm],
            "in_channels": int(in_channels),
            "out_channels": int(out_channels),
            "base_features": int(base_features),
            "max_features": int(max_features),
            "norm": str(norm),
            "conv_bias": bool(conv_bias),
            "deep_supervision": bool(deep_supervision),
        }
        if features is not None:
            self._settings |= self.topology.as_lists()
        self.encoder = self._build_encoder(in_channels, norm)
        self.decoder = self._build_decoder(norm)
        heads = len(self.decoder) if deep_supervision else 1
        self.seg_layers = nn.ModuleList(
            UnetOutBlock(3, channels, out_channels) for channels in self.topology.features[:heads]
        )
        _finish(self.encoder, conv_bias=conv_bias)
        _finish(self.decoder, conv_bias=conv_bias)
        _finish(self.seg_layers, conv_bias=False)  # they have them
        self.apply(_initialise)
        self.register_buffer("thresholds", None, persistent=False)
        if thresholds is not None:
            self.calibrate(thresholds)

    def calibrate(self, thresholds: Sequence[float] | None) -> None:
        """Let `forward` give logits above these thresholds (`above`), 0 then being the boundary again; None: no more.

        What is trained, the output of `forward_features`, is as before.

        Raises:
            PedsegError: there is not one finite number for each region.
        """
        self._settings.pop("thresholds", None)
        self.thresholds = None
        if thresholds is None:
            return
        values = [float(value) for value in thresholds]
        if len(values) != self._settings["out_channels"] or not all(map(math.isfinite, values)):
            raise PedsegError(
                f"thresholds {values}: give a finite logit for each of the {self._settings['out_channels']} regions"
            )
        self._settings["thresholds"] = values
        self.thresholds = torch.tensor(values, device=next(self.parameters()).device)

    def _build_encoder(self, in_channels: int, norm: Norm) -> nn.ModuleList:
        from monai.networks.blocks.dynunet_block import UnetBasicBlock  # noqa: PLC0415

        topology = self.topology
        inputs = (in_channels, *topology.features[:-1])
        stages = zip(inputs, topology.features, topology.kernels, topology.strides, strict=True)
        return nn.ModuleList(
            UnetBasicBlock(3, before, after, kernel, stride, (norm, {"affine": True}))
            for before, after, kernel, stride in stages
        )

    def _build_decoder(self, norm: Norm) -> nn.ModuleList:
        """Deepest first. Kernels are those of the skip's stage, as in nnU-Net (DynUNet takes the stage below)."""
        from monai.networks.blocks.dynunet_block import UnetUpBlock  # noqa: PLC0415

        topology = self.topology
        return nn.ModuleList(
            UnetUpBlock(
                3,
                topology.features[stage + 1],
                topology.features[stage],
                topology.kernels[stage],
                1,
                upsample_kernel_size=topology.strides[stage + 1],
                norm_name=(norm, {"affine": True}),
                trans_bias=True,
            )
            for stage in reversed(range(len(topology.features) - 1))
        )

    @property
    def settings(self) -> dict[str, Any]:
        """Constructor arguments as plain Python: ``UNet(**network.settings)`` has the same topology."""
        return copy.deepcopy(self._settings)

    @property
    def divisor(self) -> Triple:
        """What each axis (z, y, x) of an input must be a multiple of."""
        return self.topology.divisor

    @property
    def bottleneck_shape(self) -> tuple[int, Triple]:
        """Channels and spatial size of the last encoder stage for a training patch."""
        last = len(self.encoder) - 1
        return self.topology.features[last], self.topology.stage_size(self._settings["patch_size"], last)

    @property
    def decoder_shapes(self) -> list[tuple[int, Triple]]:
        """Channels and spatial size of each decoder stage for a training patch, stage 1 (deepest) first."""
        patch_size, topology = self._settings["patch_size"], self.topology
        stages = reversed(range(len(self.decoder)))
        return [(topology.features[stage], topology.stage_size(patch_size, stage)) for stage in stages]

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by part: encoder, decoder (with its transposed convolutions), seg_layers; each exactly once."""
        return {name: list(self.get_submodule(name).parameters()) for name in PARTS}

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, out_channels, D, H, W) of images (B, in_channels, D, H, W)."""
        _, decoder = self._decode(x)
        logits: Tensor = self.seg_layers[0](decoder[-1])
        return logits if self.thresholds is None else above(logits, self.thresholds)

    def forward_features(self, x: Tensor) -> UNetOutput:
        """Logits of every head and the feature maps of every decoder stage.

        Raises:
            PedsegError: an axis of `x` is no multiple of the network's total stride.
        """
        bottleneck, decoder = self._decode(x)
        logits = [head(features) for head, features in zip(self.seg_layers, reversed(decoder), strict=False)]
        return UNetOutput(logits=logits, decoder=decoder, bottleneck=bottleneck)

    def _decode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        for axis, size, divisor in zip(AXES, x.shape[2:], self.divisor, strict=True):
            if size % divisor:
                raise PedsegError(
                    f"input of {tuple(x.shape[2:])} voxels: axis {axis} has {size}, not a multiple of {divisor}; pad it"
                )
        skips: list[Tensor] = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        bottleneck = skips.pop()
        features: list[Tensor] = []
        for stage in self.decoder:
            x = stage(x, skips.pop())
            features.append(x)
        return bottleneck, features


def above(logits: Tensor, thresholds: Tensor) -> Tensor:
    """How far logits (..., R, D, H, W) are above the thresholds (R,) of their regions, at most as far as the whole.

    Regions go from the whole to its parts; none is then further above its threshold than the one around it, so that no
    part reaches outside.
    """
    regions = list((logits - thresholds.view(-1, 1, 1, 1)).unbind(-4))
    for part in range(1, len(regions)):
        regions[part] = torch.minimum(regions[part], regions[part - 1])
    return torch.stack(regions, dim=-4)


def _finish(module: nn.Module, *, conv_bias: bool) -> None:
    """Give MONAI's convolutions their biases and the fast gradient, and its instance norms the layout-keeping form."""
    for child in list(module.modules()):
        if conv_bias and isinstance(child, nn.Conv3d) and child.bias is None:
            child.bias = nn.Parameter(torch.zeros(child.out_channels))
        if type(child) is nn.Conv3d:
            child.__class__ = Convolution  # the same module, with another way to its gradient
        for name, norm in list(child.named_children()):
            if type(norm) is nn.InstanceNorm3d:
                child.register_module(name, InstanceNorm(norm.num_features, eps=norm.eps))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=NEGATIVE_SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
