"""The segmentation network out of a checkpoint, without the classifier and without the trainer."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from zipfile import ZIP_STORED, ZipFile

import torch
from torch import Tensor

from pedseg import __version__
from pedseg.errors import PedsegError
from pedseg.files import sha256
from pedseg.inference.seals import check_seal
from pedseg.labels import Modality, Region
from pedseg.networks import SegmentationNetwork, checked_thresholds, rebuild_within
from pedseg.settings.faults import shown
from pedseg.settings.record import MirrorAxes, PatchSize, Record, Sequenced, Spacing

PREFIX = "network."  # of the segmentation network's weights in a checkpoint
DESCRIPTION = "pedseg"  # key of what rebuilds the network
READ_TOO = (["0", "1"],)  # series whose checkpoints this one reads, too
ANEW = "give the checkpoints/last.ckpt of a run, or export it anew"


@dataclass(frozen=True, slots=True)
class LoadedNetwork:
    """A network in evaluation mode and what it was trained for.

    Attributes:
        network: on the CPU.
        patch_size: voxels (z, y, x) of its windows.
        spacing_mm: voxel size (z, y, x) of its training images.
        identity: SHA-256 of the checkpoint file.
        mirror_axes: axes (0 z, 1 y, 2 x) along which mirrored windows are averaged; all but for some imported networks.
        thresholds: a logit for each region above which a voxel belongs to it; None for 0. Runs have them in a variant,
            exports and checkpoints of before variants with the network.
    """

    network: SegmentationNetwork
    patch_size: tuple[int, ...]
    spacing_mm: tuple[float, float, float]
    identity: str
    mirror_axes: tuple[int, ...] = (0, 1, 2)
    thresholds: tuple[float, ...] | None = None


def describe(network: SegmentationNetwork) -> dict[str, Any]:
    """What a checkpoint says of its network, in plain Python: enough for `load_network` beside the weights."""
    settings = network.settings
    return {
        "version": __version__,
        "network": settings,
        "patch_size": settings["patch_size"],
        "spacing_mm": settings["spacing_mm"],
        "regions": [region.value for region in Region],
    }


class Description(Record):
    """What a checkpoint or an export says of its network."""

    network: dict[str, Any]
    patch_size: PatchSize
    spacing_mm: Spacing
    regions: Annotated[tuple[str, ...], Sequenced]
    mirror_axes: MirrorAxes = (0, 1, 2)
    thresholds: Annotated[tuple[float, ...], Sequenced] | None = None


def load_network(checkpoint: Path) -> LoadedNetwork:
    """Rebuild the network of a checkpoint; only tensors and plain Python are read (``weights_only=True``).

    Raises:
        PedsegError: the file is absent, damaged, not written by pedseg or by another version of it, describes what no
            network is, or is for other regions or another order of them.
    """
    content = read_checkpoint(checkpoint)
    description = content.get(DESCRIPTION) if isinstance(content, dict) else None
    if not isinstance(description, dict) or not isinstance(content.get("state_dict"), dict):
        raise PedsegError(f"{checkpoint}: is no checkpoint of pedseg; give the checkpoints/last.ckpt of a run")
    named = {str(name): value for name, value in content["state_dict"].items()}
    weights = {name.removeprefix(PREFIX): value for name, value in named.items() if name.startswith(PREFIX)}
    return described_network(description, weights, where=checkpoint)


def described_network(description: Mapping[str, Any], weights: Mapping[str, object], *, where: Path) -> LoadedNetwork:
    """The network that a file describes, with the weights it holds.

    Args:
        description: as `describe` gives it.
        weights: what it holds by their names in the network.
        where: the file.

    Raises:
        PedsegError: the description is not one of a network of this version, or the weights are not those of it.
    """
    _check_version(where, description)
    said = Description.of(description, where=where, fix=ANEW)
    regions = tuple(region.value for region in Region)
    if said.regions != regions:
        raise PedsegError(f"{where}: predicts {said.regions}, this version writes {regions}; train it again")
    try:
        settings, thresholds = without_thresholds(said.network)
        network = _filled(settings, weights)
        _check_form(network, said)
        if said.thresholds is not None:
            thresholds = checked_thresholds(said.thresholds, regions=len(Region))
    except PedsegError as error:
        raise PedsegError(f"{where}: {error}; {ANEW}") from error
    return LoadedNetwork(network.eval(), said.patch_size, said.spacing_mm, sha256(where), said.mirror_axes, thresholds)


def _filled(settings: Mapping[str, Any], weights: Mapping[str, object]) -> SegmentationNetwork:
    """The network of these settings with these weights; nothing larger than them is made."""
    tensors = plain_tensors(weights)
    network = rebuild_within(settings, sum(tensor.numel() for tensor in tensors.values()))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise PedsegError(f"its weights do not fit the network it describes\n{error}") from error
    return network


def _check_form(network: SegmentationNetwork, said: Description) -> None:
    """Whether a network is one for what this version reads and writes, and for what the file says beside it."""
    form = network.form
    if (form.in_channels, form.out_channels) != (len(Modality), len(Region)):
        raise PedsegError(f"its network maps {form.in_channels} channels to {form.out_channels} regions")
    if (tuple(form.patch_size), tuple(form.spacing_mm)) != (said.patch_size, said.spacing_mm):
        raise PedsegError("it names another patch or voxel size than its network")


def plain_tensors(weights: Mapping[Any, object]) -> dict[str, Tensor]:
    """Weights that a file has, if each is a tensor of finite numbers which are all there.

    Raises:
        PedsegError: one is something else; the message goes on from the name of the file.
    """
    tensors: dict[str, Tensor] = {}
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or not _is_whole(value):
            raise PedsegError(f"its {shown(name)} is no tensor that can be a weight")
        if not value.isfinite().all():
            raise PedsegError(f"its {name} holds NaN or infinity")
        tensors[name] = value
    return tensors


def _is_whole(tensor: Tensor) -> bool:
    """Whether a tensor is plain: neither on another device, nor sparse, nor few numbers seen many times."""
    dense = tensor.device.type == "cpu" and tensor.layout is torch.strided and not tensor.is_quantized
    return dense and tensor.untyped_storage().nbytes() >= tensor.numel() * tensor.element_size()


def without_thresholds(settings: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[float, ...] | None]:
    """Settings of a network, and the thresholds that were among them before variants.

    Raises:
        PedsegError: the thresholds cannot be used.
    """
    values = settings.get("thresholds")
    own = {name: value for name, value in settings.items() if name != "thresholds"}
    return own, None if values is None else checked_thresholds(values, regions=len(Region))


def _check_version(where: Path, description: Mapping[str, Any]) -> None:
    """Before all else: what another version says may have another form."""
    if not isinstance(version := description.get("version"), str):
        raise PedsegError(f"{where}: does not say its version; {ANEW}")
    if _series(version) not in (_series(__version__), *READ_TOO):
        raise PedsegError(
            f"{where}: was written by pedseg {version}, this is {__version__}; predict with that version or train again"
        )


def _series(version: str) -> list[str]:
    """What versions that read each other's files share: the major number, and before 1.0 the minor one, too."""
    numbers = version.split(".")
    return numbers[:2] if numbers[0] == "0" else numbers[:1]


def read_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """Read a checkpoint's tensors and plain Python onto the CPU.

    Raises:
        PedsegError: the file is absent, damaged, or holds objects that only code could rebuild.
    """
    if not checkpoint.is_file():
        raise PedsegError(f"{checkpoint}: no such checkpoint; give the checkpoints/last.ckpt of a run")
    check_archive(checkpoint)
    try:
        content: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise PedsegError(
            f"{checkpoint}: holds more than tensors and plain Python and is not opened, since that would run its code"
        ) from error
    except Exception as error:  # what an unpickler makes of bytes that nobody has pickled
        raise PedsegError(f"{checkpoint}: is damaged ({error}); copy it again or resume the run") from error
    if isinstance(content, dict):
        check_seal(content, where=checkpoint)
    return content


def check_archive(path: Path) -> None:
    """Whether what torch has saved is as it was written: every part fits the CRC-32 that was written beside it.

    torch.load does not look at them, so that flipped bits would be other weights. 1.2 GB/s on one core.

    Raises:
        PedsegError: a part does not, or the file is no archive of torch.
    """
    try:
        with ZipFile(path) as archive:
            packed = any(part.compress_type != ZIP_STORED for part in archive.infolist())  # torch packs none
            damaged = "it is compressed" if packed else archive.testzip()
    except Exception as error:  # what zipfile makes of any bytes
        raise PedsegError(f"{path}: is damaged or no checkpoint ({error}); copy it again or resume the run") from error
    if damaged:
        raise PedsegError(
            f"{path}: is damaged ({damaged} does not fit its checksum); copy or download it again, or train anew"
        )
