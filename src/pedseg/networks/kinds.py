"""The kinds of segmentation networks, and the only place that builds them.

A new kind is a subclass of `SegmentationNetwork`, an entry here and a file in conf/model.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from pedseg.errors import PedsegError
from pedseg.networks.contract import SegmentationNetwork
from pedseg.networks.foreign import SegResNet
from pedseg.networks.residual import ResidualUNet
from pedseg.networks.unet import UNet
from pedseg.settings.faults import near, shown
from pedseg.settings.signature import checked_arguments

# Closed: a name in a file chooses among these and never imports anything.
KINDS: Mapping[str, type[SegmentationNetwork]] = {kind.name: kind for kind in (UNet, ResidualUNet, SegResNet)}
FIRST = UNet.name  # what files of before there were kinds hold


def build(
    settings: Mapping[str, Any], *, patch_size: Sequence[int], spacing_mm: Sequence[float]
) -> SegmentationNetwork:
    """Build the network that the group `model` of the settings chooses.

    Args:
        settings: ``name`` of a kind, and arguments of its class.
        patch_size: voxels (z, y, x) of a training patch.
        spacing_mm: voxel size (z, y, x).

    Raises:
        PedsegError: the kind is unknown, an argument is unknown or out of its range, or the patch does not fit.
    """
    return _built(settings, where="model", patch_size=patch_size, spacing_mm=spacing_mm)


def rebuild(settings: Mapping[str, Any]) -> SegmentationNetwork:
    """Build a network from `SegmentationNetwork.settings`, as checkpoints and exports hold them.

    Raises:
        PedsegError: they are not those of a network of this version.
    """
    return _built(settings, where="network")


def rebuild_within(settings: Mapping[str, Any], numbers: int) -> SegmentationNetwork:
    """Build a network from settings that a file gives, unless it takes more `numbers` than the file has for it.

    They are counted on the device "meta", which has no memory and draws no random numbers.

    Raises:
        PedsegError: it takes more, or the settings are not those of a network of this version.
    """
    try:
        with torch.device("meta"):
            needed = sum(tensor.numel() for tensor in rebuild(settings).state_dict().values())
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise PedsegError(f"network {shown(dict(settings))} cannot be built ({error})") from error
    if needed > numbers:
        raise PedsegError(f"its {numbers} weights do not fit the network it describes, which has {needed}")
    return rebuild(settings)


def check(settings: Mapping[str, Any]) -> None:
    """Check the group `model` of the settings, and build nothing.

    Raises:
        PedsegError: the kind is unknown, or an argument is unknown or out of its range.
    """
    _arguments(settings, where="model", without=("patch_size", "spacing_mm"))


def _built(settings: Mapping[str, Any], *, where: str, **given: Any) -> SegmentationNetwork:  # noqa: ANN401
    kind, arguments = _arguments(settings, where=where, without=given)
    return kind(**arguments, **given)


def _arguments(
    settings: Mapping[str, Any], *, where: str, without: Collection[str]
) -> tuple[type[SegmentationNetwork], dict[str, Any]]:
    arguments = dict(settings)
    name = str(arguments.pop("name", FIRST))
    if name not in KINDS:
        raise PedsegError(f"{where}.name={name} is unknown; {near(name, KINDS)}")
    return KINDS[name], checked_arguments(KINDS[name], arguments, where=where, without=without)
