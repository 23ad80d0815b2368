"""Weights as safetensors: tensors that any framework reads, with what rebuilds their network in the header."""

import json
from collections.abc import Sequence
from pathlib import Path

from pedseg.errors import PedsegError
from pedseg.files import atomic_path
from pedseg.inference import LoadedNetwork
from pedseg.inference.checkpoint import described_network
from pedseg.interop.portable import check_output_file, describe, load_portable

SUFFIX = ".safetensors"
DESCRIBED = ("version", "network", "patch_size", "spacing_mm", "mirror_axes", "regions")  # in the header, as JSON
OPTIONAL = {"thresholds"}
WORD = 8  # bytes that a file is laid out in
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
        temporary.write_bytes(_ordered(save(weights, metadata={"format": "pt", **description})))
    return output


def _ordered(file: bytes) -> bytes:
    """The same file with a header in alphabetical order; the library writes the metadata in a new order each time.

    Eight bytes say how long the header is, JSON that is padded to whole words, and tensors follow
    (https://huggingface.co/docs/safetensors).
    """
    start = WORD + int.from_bytes(file[:WORD], "little")
    header = json.dumps(json.loads(file[WORD:start]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % WORD)
    return len(header).to_bytes(WORD, "little") + header + file[start:]


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
        description = {key: json.loads(header[key]) for key in (*DESCRIBED, *(OPTIONAL & header.keys()))}
    except (KeyError, ValueError, RecursionError) as error:
        raise PedsegError(f"{path}: does not describe a network of pedseg ({error}); export it again") from error
    return described_network(description, weights, where=path)
