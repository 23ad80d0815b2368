"""Networks of MONAI, in the form of the contract. MONAI is imported when one is built."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from pedseg.errors import PedsegError
from pedseg.networks.contract import Channels, Form, Norm, Repeats, SegmentationNetwork
from pedseg.networks.layers import quicken
from pedseg.networks.topology import FEWEST_EXPLICIT, SMALLEST_EDGE, Topology, misfit


class SegResNet(SegmentationNetwork):
    """MONAI's SegResNetDS: residual blocks that begin with their norm, skips that are added (Myronenko 2018).

    Levels halve the axes and double the channels; an axis with thicker voxels is halved once the others have come up
    with it, and is not convolved before (MONAI's rule). There are as many levels as `blocks` says, or fewer where the
    smallest maps would get below four voxels along an axis or the channels above `max_features`. MONAI's modules start
    as MONAI starts them.

    Args:
        patch_size: voxels along z, y, x of a training patch.
        spacing_mm: voxel size along z, y, x.
        in_channels: image channels.
        out_channels: regions.
        base_features: channels of the first level; they double with each level.
        max_features: upper bound of the channels; there is no level that would have more.
        norm: "instance" or "batch".
        deep_supervision: a head on every decoder stage; without, only the full-size one.
        blocks: residual blocks of each level of the encoder; each of the decoder has one.

    Raises:
        PedsegError: the patch has no room for two levels or does not fit them, or the norm is unknown.
    """

    name = "segresnet"
    title = "MONAI's SegResNet"
    reference = "Myronenko 2018, https://arxiv.org/abs/1810.11654"

    def __init__(
        self,
        *,
        patch_size: Sequence[int],
        spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
        in_channels: Channels = 4,
        out_channels: Channels = 3,
        base_features: Channels = 32,
        max_features: Channels = 256,
        norm: Norm = "instance",
        deep_supervision: bool = False,
        blocks: Annotated[Sequence[Repeats], Field(min_length=FEWEST_EXPLICIT, max_length=16)] = (1, 2, 2, 4),
    ) -> None:
        from monai.networks.nets.segresnet_ds import SegResNetDS  # noqa: PLC0415

        form = Form(patch_size, spacing_mm, in_channels, out_channels, norm, deep_supervision)
        topology = _topology(form, levels=len(blocks), base_features=base_features, max_features=max_features)
        levels = len(topology.features)
        network: Any = SegResNetDS(
            init_filters=base_features,
            in_channels=in_channels,
            out_channels=out_channels,
            norm=norm,
            blocks_down=tuple(blocks[:levels]),
            dsdepth=levels - 1 if deep_supervision else 1,
            resolution=tuple(spacing_mm),
        )
        super().__init__(
            form=form,
            topology=topology,
            encoder=list(_encoder(network.encoder)),
            decoder=[UpLevel(level["upsample"], level["blocks"]) for level in network.up_layers],
            seg_layers=[level["head"] for level in reversed(network.up_layers) if isinstance(level["head"], nn.Conv3d)],
            arguments={
                "base_features": base_features,
                "max_features": max_features,
                "blocks": [int(count) for count in blocks[:levels]],
            },
        )
        quicken(self)

    @property
    def plan(self) -> dict[str, Any]:
        """Arguments that give a network of this kind the same stages for any patch of this voxel size with room."""
        settings = self.settings
        return {name: settings[name] for name in ("base_features", "max_features", "blocks")}


class UpLevel(nn.Module):
    """A level of MONAI's decoder: what is below at twice the size, plus the encoder's features, through blocks."""

    def __init__(self, upsample: nn.Module, blocks: nn.Module) -> None:
        super().__init__()
        self.upsample = upsample
        self.blocks = blocks

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Features (B, channels, D, H, W) of those from below (B, 2 channels, d, h, w) and of the skip's size."""
        features: Tensor = self.blocks(self.upsample(x) + skip)
        return features


def _encoder(encoder: Any) -> Iterator[nn.Module]:  # noqa: ANN401  (MONAI has no types)
    """A stage for each level of MONAI's encoder: what leads to it, then its blocks."""
    entries = [encoder.conv_init, *(level["downsample"] for level in encoder.layers)]
    for entry, level in zip(entries, encoder.layers, strict=False):
        parts: OrderedDict[str, nn.Module] = OrderedDict(entry=entry, blocks=level["blocks"])
        yield nn.Sequential(parts)


def _topology(form: Form, *, levels: int, base_features: int, max_features: int) -> Topology:
    """Levels by MONAI's rule of the voxel size, as many as there is room for."""
    from monai.networks.nets.segresnet_ds import aniso_kernel, scales_for_resolution  # noqa: PLC0415

    scales = scales_for_resolution(tuple(form.spacing_mm), n_stages=levels)  # from each level to the next
    strides = [(1, 1, 1), *scales[:-1]]
    features = [base_features * 2**level for level in range(levels)]
    size, room = list(form.patch_size), 0
    for stride, channels in zip(strides, features, strict=True):
        size = [n // int(step) for n, step in zip(size, stride, strict=True)]
        if min(size) < SMALLEST_EDGE or channels > max_features:
            break
        room += 1
    if room < FEWEST_EXPLICIT:
        raise PedsegError(
            f"patch_size {tuple(form.patch_size)}, base_features {base_features} and max_features {max_features} allow "
            f"{room} levels, the network needs {FEWEST_EXPLICIT}; give at least {2 * SMALLEST_EDGE} voxels along each "
            "axis, and max_features twice base_features"
        )
    kernels = [aniso_kernel(scale)[0] for scale in scales[:room]]
    topology = Topology.explicit(features=features[:room], kernels=kernels, strides=strides[:room])
    for axis, (voxels, divisor) in enumerate(zip(form.patch_size, topology.divisor, strict=True)):
        if voxels % divisor:
            below = voxels // divisor * divisor
            raise misfit(form.patch_size, axis, divisor=divisor, nearest=(below, below + divisor))
    return topology
