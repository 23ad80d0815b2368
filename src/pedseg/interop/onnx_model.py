"""The segmentation network as an ONNX model: fixed patch, any batch, checked before it is given its name."""

import copy
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pedseg.errors import PedsegError
from pedseg.files import atomic_path
from pedseg.inference import LoadedNetwork
from pedseg.interop.portable import check_output_file, describe, load_portable
from pedseg.labels import Modality
from pedseg.networks import AboveThresholds
from pedseg.networks.normalisation import InstanceNorm

SUFFIX = ".onnx"
OPSET = 18  # what torch.onnx writes itself; for a later one it converts the model, and older runtimes refuse that
LARGEST = 2**31 - 2**20  # bytes of weights: a protobuf message holds 2 GiB
INPUT, OUTPUT = "image", "logits"
TRACED_BATCH = 2  # torch.export takes a batch of 1 for fixed
TOLERANCE = 1e-4  # largest difference from the network, as a part of its largest logit


def export_onnx(
    checkpoint: Path, output: Path, *, thresholds: Sequence[float] | None = None, overwrite: bool = False
) -> float | None:
    """Write the segmentation network of a checkpoint as one ONNX file.

    The model maps ``image`` (batch, 4, z, y, x), float32 and normalised, of the checkpoint's patch size, to ``logits``
    (batch, 3, z, y, x). Its metadata hold, each as JSON, the entries of
    `pedseg.interop.portable.describe`.

    Args:
        checkpoint: of a run.
        output: file to write.
        thresholds: of a variant, in logits by region; the model's logits are above them.
        overwrite: replace it.

    Returns:
        Largest difference between onnxruntime on the CPU and the network on a random patch, as a part of the largest
        logit; None where onnxruntime is not installed.

    Raises:
        PedsegError: onnx or onnxscript is not installed, the output exists or is no ``.onnx`` file, the checkpoint
            cannot be used, or the model computes something else than the network. Nothing is written then.
    """
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise PedsegError(f"{' and '.join(missing)} not installed; pip install 'pedseg[export]'")
    check_output_file(output, suffix=SUFFIX, overwrite=overwrite)
    portable = load_portable(checkpoint, thresholds=thresholds)
    size = sum(tensor.nbytes for tensor in portable.network.state_dict().values())
    if size > LARGEST:
        raise PedsegError(f"{checkpoint}: {size} bytes of weights do not fit one ONNX file; export safetensors")
    model = _convert(portable)
    with atomic_path(output) as temporary:
        temporary.write_bytes(model.SerializeToString())
        return _check(temporary, portable)


class TwoPassNorm(nn.Module):
    """Instance norm in elementary steps, for runtimes that add up a volume's voxels one after the other in float32.

    onnxruntime's InstanceNormalization does on the CPU: at 128³ the logits of a network with 22 of them are off by
    4e-5 of the largest one. Means along one axis and then over the others, of the voxels and then of their squared
    distances from that mean, leave 3e-6 of it; PyTorch's own norm leaves 2e-6.

    Args:
        norm: whose parameters and epsilon are taken.
    """

    def __init__(self, norm: InstanceNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, D, H, W) over D, H, W."""
        centred = x - _mean(x)
        scale = self.weight.view(1, -1, 1, 1, 1) * torch.rsqrt(_mean(centred * centred) + self.eps)
        return centred * scale + self.bias.view(1, -1, 1, 1, 1)


def _mean(x: Tensor) -> Tensor:
    return x.mean(-1, keepdim=True).mean((-3, -2), keepdim=True)


def _with_two_pass_norms(network: nn.Module) -> nn.Module:
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, InstanceNorm):
                module.register_module(name, TwoPassNorm(child))
    return network


def _cut(portable: LoadedNetwork) -> nn.Module:
    """The network, with 0 as the boundary of its regions."""
    if portable.thresholds is None:
        return portable.network
    return AboveThresholds(portable.network, portable.thresholds)


def _convert(portable: LoadedNetwork) -> Any:  # noqa: ANN401  (onnx has no types)
    """Trace the network and describe it. What torch notes about each node, such as paths of sources, is left out."""
    from onnx.helper import set_model_props  # noqa: PLC0415  (an optional dependency)

    with _silence():
        program = torch.onnx.export(
            _with_two_pass_norms(_cut(portable)),
            (_noise(portable, batch=TRACED_BATCH),),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
        assert program is not None  # noqa: S101  (dynamo=True returns one)
        model: Any = program.model_proto
    for part in (model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for weight in model.graph.initializer:
        weight.ClearField("metadata_props")
    set_model_props(model, {key: json.dumps(value) for key, value in describe(portable).items()})
    return model


def _check(path: Path, portable: LoadedNetwork) -> float | None:
    import onnx  # noqa: PLC0415  (an optional dependency)

    onnx.checker.check_model(str(path), full_check=True)
    if find_spec("onnxruntime") is None:
        return None
    image = _noise(portable, batch=1)
    with torch.inference_mode():
        expected = _cut(portable)(image)
    difference = float((run_onnx(path, image) - expected).abs().max() / expected.abs().max())
    if not difference <= TOLERANCE:
        raise PedsegError(
            f"the ONNX model differs from the network by {difference:.1e} of the largest logit, more than "
            f"{TOLERANCE:g}; use other versions of torch and onnxscript"
        )
    return difference


def run_onnx(path: Path, image: Tensor) -> Tensor:
    """Logits (B, 3, z, y, x) that onnxruntime computes on the CPU for images (B, 4, z, y, x)."""
    import onnxruntime  # noqa: PLC0415  (an optional dependency)

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run([OUTPUT], {INPUT: image.numpy()})[0])


def _noise(portable: LoadedNetwork, *, batch: int) -> Tensor:
    """Patches of noise, the same each time."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, len(Modality), *portable.patch_size, generator=generator)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what torch.onnx says about packages and functions that are not used here from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
