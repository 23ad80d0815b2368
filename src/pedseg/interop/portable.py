"""What every export shares: the segmentation network of a checkpoint alone, and how it is described to others."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pedseg import __version__
from pedseg.errors import PedsegError
from pedseg.files import check_free
from pedseg.inference import LoadedNetwork, load_network
from pedseg.labels import Modality, Region
from pedseg.networks import checked_thresholds, rebuild

NORMALISATION: Final = (
    "each channel: minus its mean, divided by its standard deviation (at least 1e-8), both taken inside the brain; 0 "
    "outside. The brain is where any channel is not 0, holes filled; images are cropped to its bounding box"
)


def load_portable(checkpoint: Path, *, thresholds: Sequence[float] | None = None) -> LoadedNetwork:
    """Take the segmentation path out of a checkpoint: no classifier, no heads but the full-size one.

    Args:
        checkpoint: of a run.
        thresholds: of a variant, in logits by region; None for what the checkpoint says.

    Raises:
        PedsegError: the checkpoint cannot be used (`pedseg.inference.load_network`).
    """
    loaded = load_network(checkpoint)
    network = rebuild(loaded.network.settings | {"deep_supervision": False})
    weights = loaded.network.state_dict()
    network.load_state_dict({name: weights[name] for name in network.state_dict()})
    cut = loaded.thresholds if thresholds is None else checked_thresholds(thresholds, regions=len(Region))
    return replace(loaded, network=network.eval(), thresholds=cut)


def describe(portable: LoadedNetwork) -> dict[str, Any]:
    """What rebuilds a network and what its tensors mean, as plain Python; ``thresholds`` if it has any."""
    cut = {} if portable.thresholds is None else {"thresholds": list(portable.thresholds)}
    return {
        "version": __version__,
        "network": portable.network.settings,
        **cut,
        "patch_size": list(portable.patch_size),
        "spacing_mm": list(portable.spacing_mm),
        "mirror_axes": list(portable.mirror_axes),
        "channels": [modality.value for modality in Modality],
        "regions": [region.value for region in Region],
        "normalisation": NORMALISATION,
        "checkpoint_sha256": portable.identity,
    }


def check_output_file(output: Path, *, suffix: str, overwrite: bool) -> None:
    """Refuse a name that is no `suffix` file, and a file that would be replaced without `overwrite`.

    Raises:
        PedsegError: either is so.
    """
    if output.suffix != suffix or output.is_dir():
        raise PedsegError(f"{output} is no name for a {suffix} file; give --output {output.with_suffix(suffix).name}")
    check_free(output, overwrite=overwrite)
