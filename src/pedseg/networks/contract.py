"""What training, adaptation, prediction and export know of a segmentation network, whatever its blocks are."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from pedseg.errors import PedsegError
from pedseg.networks.topology import AXES, Topology, Triple
from pedseg.settings.signature import Count

Norm = Literal["instance", "batch"]

# Of constructors, which take them from files too: far above any network, and far below what fills a machine.
Channels = Annotated[Count, Field(le=8192)]
Repeats = Annotated[Count, Field(le=64)]
Width = Annotated[Count, Field(le=32)]  # of a kernel or a stride
PerAxis = Annotated[Sequence[Width], Field(min_length=3, max_length=3)]
PER_STAGE = Field(max_length=16)

PARTS = ("encoder", "decoder", "seg_layers")


class NetworkOutput(NamedTuple):
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


def joined(outputs: Sequence[NetworkOutput]) -> NetworkOutput:
    """The outputs of parts of a batch as that of the whole."""
    if len(outputs) == 1:
        return outputs[0]
    return NetworkOutput(
        logits=[torch.cat(heads) for heads in zip(*(output.logits for output in outputs), strict=True)],
        decoder=[torch.cat(maps) for maps in zip(*(output.decoder for output in outputs), strict=True)],
        bottleneck=torch.cat([output.bottleneck for output in outputs]),
    )


@dataclass(frozen=True, slots=True)
class Form:
    """What the constructors of all kinds of networks take.

    Attributes:
        patch_size: voxels along z, y, x of a training patch.
        spacing_mm: voxel size along z, y, x.
        in_channels: image channels.
        out_channels: regions.
        norm: "instance" or "batch".
        deep_supervision: a head on every decoder stage; without, only the full-size one.

    Raises:
        PedsegError: the norm is unknown.
    """

    patch_size: Sequence[int]
    spacing_mm: Sequence[float]
    in_channels: int
    out_channels: int
    norm: Norm
    deep_supervision: bool

    def __post_init__(self) -> None:
        if self.norm not in ("instance", "batch"):
            raise PedsegError(f"norm {self.norm!r} is unknown; use 'instance' or 'batch'")

    def plain(self) -> dict[str, Any]:
        """The same in plain Python."""
        return {
            **asdict(self),
            "patch_size": [int(n) for n in self.patch_size],
            "spacing_mm": [float(s) for s in self.spacing_mm],
        }


class SegmentationNetwork(nn.Module):
    """An encoder, a decoder with skips, and heads.

    A kind of network is a subclass: its constructor makes the stages of the three parts, which hold every parameter,
    and says by its arguments how to make them again. How they are run, frozen and described is here.
    `pedseg.networks.kinds` builds networks by name.

    Args:
        form: what all kinds have.
        topology: channels, kernels and strides of the stages.
        encoder: a module for each stage, full resolution first, which maps the features of the one before (the first
            one the image).
        decoder: a module for each stage but the last, deepest first, which is called with the features from below and
            the encoder's of its own size.
        seg_layers: maps of features to logits: of the last decoder stage, and with deep supervision of the others, from
            the last but one to the deepest.
        arguments: the subclass's own ones, in plain Python.

    Attributes:
        name: of the kind, as conf/model, checkpoints and exports have it.
        title: of the kind, in words.
        reference: where it is published.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    reference: ClassVar[str]

    def __init__(
        self,
        *,
        form: Form,
        topology: Topology,
        encoder: Sequence[nn.Module],
        decoder: Sequence[nn.Module],
        seg_layers: Sequence[nn.Module],
        arguments: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.form = form
        self.topology = topology
        self.encoder = nn.ModuleList(encoder)
        self.decoder = nn.ModuleList(decoder)
        self.seg_layers = nn.ModuleList(seg_layers)
        self._settings: dict[str, Any] = {"name": self.name, **form.plain(), **arguments}

    @property
    def settings(self) -> dict[str, Any]:
        """Name of the kind and the constructor's arguments in plain Python, from which `rebuild` makes it again."""
        return copy.deepcopy(self._settings)

    @property
    def plan(self) -> dict[str, Any]:
        """Arguments that give a network of this kind the same stages, whatever patch it is for."""
        return self.topology.as_lists()

    @property
    def divisor(self) -> Triple:
        """What each axis (z, y, x) of an input must be a multiple of."""
        return self.topology.divisor

    @property
    def bottleneck_shape(self) -> tuple[int, Triple]:
        """Channels and spatial size of the last encoder stage for a training patch."""
        return self._shape(len(self.encoder) - 1)

    @property
    def decoder_shapes(self) -> list[tuple[int, Triple]]:
        """Channels and spatial size of each decoder stage for a training patch, stage 1 (deepest) first."""
        return [self._shape(stage) for stage in reversed(range(len(self.decoder)))]

    def _shape(self, stage: int) -> tuple[int, Triple]:
        return self.topology.features[stage], self.topology.stage_size(self.form.patch_size, stage)

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by part: encoder, decoder (with what brings maps to its sizes), seg_layers; each exactly once."""
        return {name: list(self.get_submodule(name).parameters()) for name in PARTS}

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, out_channels, D, H, W) of images (B, in_channels, D, H, W), in training as in evaluation."""
        _, decoder = self._stages(x)
        logits: Tensor = self.seg_layers[0](decoder[-1])
        return logits

    def forward_features(self, x: Tensor) -> NetworkOutput:
        """Logits of every head and the feature maps of every decoder stage.

        Raises:
            PedsegError: an axis of `x` is no multiple of the network's total stride.
        """
        bottleneck, decoder = self._stages(x)
        logits = [head(features) for head, features in zip(self.seg_layers, reversed(decoder), strict=False)]
        return NetworkOutput(logits=logits, decoder=decoder, bottleneck=bottleneck)

    def _stages(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
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
