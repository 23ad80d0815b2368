"""nnU-Net's plain convolutional U-Net, assembled from the blocks of MONAI's DynUNet.

MONAI, which loads itself whole for three blocks, is imported when a network is built.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from torch import nn

from pedseg.networks.contract import PER_STAGE, Channels, Form, Norm, PerAxis, SegmentationNetwork
from pedseg.networks.layers import add_biases, initialise, quicken
from pedseg.networks.topology import Topology, topology_of


class UNet(SegmentationNetwork):
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

    Raises:
        PedsegError: the patch does not fit the topology (`plan_topology`), or the norm is unknown.
    """

    name = "unet"
    title = "nnU-Net's plain convolutional U-Net"
    reference = "Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z"

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
        arguments: dict[str, Any] = {
            "base_features": base_features,
            "max_features": max_features,
            "conv_bias": conv_bias,
            **(topology.as_lists() if features is not None else {}),
        }
        super().__init__(
            form=form,
            topology=topology,
            encoder=list(_encoder(topology, in_channels, norm)),
            decoder=list(_decoder(topology, norm)),
            seg_layers=list(_heads(topology, form)),
            arguments=arguments,
        )
        quicken(self)
        if conv_bias:
            add_biases(self)
        self.apply(initialise)


def _encoder(topology: Topology, in_channels: int, norm: Norm) -> Iterator[nn.Module]:
    from monai.networks.blocks.dynunet_block import UnetBasicBlock  # noqa: PLC0415

    inputs = (in_channels, *topology.features[:-1])
    stages = zip(inputs, topology.features, topology.kernels, topology.strides, strict=True)
    for before, after, kernel, stride in stages:
        yield UnetBasicBlock(3, before, after, kernel, stride, (norm, {"affine": True}))


def _decoder(topology: Topology, norm: Norm) -> Iterator[nn.Module]:
    """Deepest first. Kernels are those of the skip's stage, as in nnU-Net (DynUNet takes the stage below)."""
    from monai.networks.blocks.dynunet_block import UnetUpBlock  # noqa: PLC0415

    for stage in reversed(range(len(topology.features) - 1)):
        yield UnetUpBlock(
            3,
            topology.features[stage + 1],
            topology.features[stage],
            topology.kernels[stage],
            1,
            upsample_kernel_size=topology.strides[stage + 1],
            norm_name=(norm, {"affine": True}),
            trans_bias=True,
        )


def _heads(topology: Topology, form: Form) -> Iterator[nn.Module]:
    from monai.networks.blocks.dynunet_block import UnetOutBlock  # noqa: PLC0415

    heads = len(topology.features) - 1 if form.deep_supervision else 1
    for channels in topology.features[:heads]:
        yield UnetOutBlock(3, channels, form.out_channels)
