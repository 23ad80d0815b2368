"""Weights as safetensors: tensors that any framework reads, with what rebuilds their network in the header."""

import json
from collections.abc import Sequence
from pathlib import Path

from pedseg.errors import PedsegError
from pedseg.files import atomic_path
from pedseg.inference import LoadedNetwork
from pedseg.inference.checkpoint import sha256, without_thresholds
from pedseg.interop.portable import check_output_file, describe, load_portable
from pedseg.labels import Region
from pedseg.networks import checked_thresholds, rebuild

SUFFIX = ".safetensors"
DESCRIBED = ("network", "patch_size", "spacing_mm", "mirror_axes", "regions")  # in the header, as JSON
INSTALL = "safetensors is not installed; pip install 'pedseg[export]'"


def export_safetensors(
    checkpoint: Path, output: Path, *, thresholds: Sequence[float] | None = None, overwrite: bool = False
) -> Path:
    """Write the weights of a checkpoint's segmentation network, bit for bit.

    The header's metadata hold ``format`` ("pt") and, each as JSON, the entries of
    `pedseg.interop.portable.describe`.

    Args:
        checkpoint: of a run.
        output: file to write.
        thresholds: of a variant, in logits by region.
        overwrite: replace it.

    Returns:
        `output`.

    Raises:
        PedsegError: safetensors is not installed, the output exists or is no ``.safetensors`` file, or the checkpoint
            cannot be used.
    """
    try:
        from safetensors.torch import save  # noqa: PLC0415  (an optional dependency)
    except ImportError as error:
        raise PedsegError(INSTALL) from error
    check_output_file(output, suffix=SUFFIX, overwrite=overwrite)
    portable = load_portable(checkpoint, thresholds=thresholds)
    description = {key: json.dumps(value) for key, value in describe(portable).items()}
    weights = {name: tensor.contiguous() for name, tensor in portable.network.state_dict().items()}
    with atomic_path(output) as temporary:
        temporary.write_bytes(save(weights, metadata={"format": "pt", **description}))
    return output


def load_safetensors(path: Path) -> LoadedNetwork:
    """Rebuild the network of a file that `export_safetensors` wrote; ``Predictor(..., load=load_safetensors)`` uses it.

    Raises:
        PedsegError: safetensors is not installed, or the file is absent, damaged or of other origin.
    """
    try:
        from safetensors import SafetensorError, safe_open  # noqa: PLC0415  (an optional dependency)
    except ImportError as error:
        raise PedsegError(INSTALL) from error
    if not path.is_file():
        raise PedsegError(f"{path}: no such file; write it with pedseg convert to-safetensors")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except SafetensorError as error:
        raise PedsegError(f"{path}: is damaged or no safetensors file ({error}); export it again") from error
    try:
        settings, patch_size, spacing, mirror_axes, regions = (json.loads(header[key]) for key in DESCRIBED)
        settings, thresholds = without_thresholds(settings)
        if "thresholds" in header:
            thresholds = checked_thresholds(json.loads(header["thresholds"]), regions=len(Region))
        network = rebuild(settings)
        network.load_state_dict(weights)
        z, y, x = spacing
    except (KeyError, TypeError, ValueError, RuntimeError, PedsegError) as error:
        raise PedsegError(f"{path}: does not describe a network of pedseg ({error}); export it again") from error
    if regions != [region.value for region in Region]:
        raise PedsegError(f"{path}: predicts {regions}, not {[region.value for region in Region]}; export it again")
    return LoadedNetwork(network.eval(), tuple(patch_size), (z, y, x), sha256(path), tuple(mirror_axes), thresholds)
