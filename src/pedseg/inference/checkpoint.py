"""The segmentation network out of a checkpoint, without the classifier and without the trainer."""

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch

from pedseg import __version__
from pedseg.errors import PedsegError
from pedseg.labels import Region
from pedseg.networks import SegmentationNetwork, checked_thresholds, rebuild

PREFIX = "network."  # of the segmentation network's weights in a checkpoint
DESCRIPTION = "pedseg"  # key of what rebuilds the network
DESCRIBED = ("version", "network", "patch_size", "spacing_mm", "regions")
BLOCK = 1 << 20


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


def load_network(checkpoint: Path) -> LoadedNetwork:
    """Rebuild the network of a checkpoint; only tensors and plain Python are read (``weights_only=True``).

    Raises:
        PedsegError: the file is absent, damaged, not written by pedseg or by another version of it, or for other
            regions or another order of them.
    """
    content = read_checkpoint(checkpoint)
    description = content.get(DESCRIPTION) if isinstance(content, dict) else None
    if not isinstance(description, dict) or not isinstance(content.get("state_dict"), dict):
        raise PedsegError(f"{checkpoint}: is no checkpoint of pedseg; give the checkpoints/last.ckpt of a run")
    _check_description(checkpoint, description)
    try:
        settings, thresholds = without_thresholds(description["network"])
        network = rebuild(settings)
    except PedsegError as error:
        raise PedsegError(f"{checkpoint}: {error}") from error
    weights = {k.removeprefix(PREFIX): v for k, v in content["state_dict"].items() if k.startswith(PREFIX)}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise PedsegError(f"{checkpoint}: its weights do not fit the network it describes\n{error}") from error
    z, y, x = description["spacing_mm"]
    return LoadedNetwork(
        network.eval(),
        tuple(description["patch_size"]),
        (z, y, x),
        sha256(checkpoint),
        tuple(description.get("mirror_axes", (0, 1, 2))),
        thresholds,
    )


def without_thresholds(settings: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[float, ...] | None]:
    """Settings of a network, and the thresholds that were among them before variants.

    Raises:
        PedsegError: the thresholds cannot be used.
    """
    values = settings.get("thresholds")
    own = {name: value for name, value in settings.items() if name != "thresholds"}
    return own, None if values is None else checked_thresholds(values, regions=len(Region))


def _check_description(checkpoint: Path, description: dict[str, Any]) -> None:
    missing = [key for key in DESCRIBED if key not in description]
    if missing:
        raise PedsegError(
            f"{checkpoint}: does not say its {', '.join(missing)}; give the checkpoints/last.ckpt of a run"
        )
    version = str(description["version"])
    if _series(version) != _series(__version__):
        raise PedsegError(
            f"{checkpoint}: was written by pedseg {version}, this is {__version__}; predict with that version or "
            "train again"
        )
    regions = [region.value for region in Region]
    if description["regions"] != regions:
        raise PedsegError(
            f"{checkpoint}: predicts {description['regions']}, this version writes {regions}; train it again"
        )


def _series(version: str) -> list[str]:
    """What versions that read each other's files share: the major number, and before 1.0 the minor one too."""
    numbers = version.split(".")
    return numbers[:2] if numbers[0] == "0" else numbers[:1]


def read_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """Read a checkpoint's tensors and plain Python onto the CPU.

    Raises:
        PedsegError: the file is absent, damaged, or holds objects that only code could rebuild.
    """
    if not checkpoint.is_file():
        raise PedsegError(f"{checkpoint}: no such checkpoint; give the checkpoints/last.ckpt of a run")
    try:
        content: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise PedsegError(
            f"{checkpoint}: holds more than tensors and plain Python and is not opened, since that would run its code"
        ) from error
    except (RuntimeError, EOFError, OSError, BadZipFile) as error:
        raise PedsegError(f"{checkpoint}: is damaged ({error}); copy it again or resume the run") from error
    return content


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
