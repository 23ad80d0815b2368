"""ONNX models: the network's logits in onnxruntime, a file that describes itself, and refusals."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pedseg.convert import main
from pedseg.errors import PedsegError
from pedseg.inference import load_network
from pedseg.interop import onnx_model
from pedseg.interop.onnx_model import export_onnx
from pedseg.networks import UNet
from tests.builders import write_checkpoint
from tests.exactness import Exact

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

PLANS: dict[str, dict[str, Any]] = {
    "instance norm": {"patch_size": (16, 16, 16), "deep_supervision": True},
    "batch norm": {"patch_size": (16, 16, 16), "norm": "batch"},
    "anisotropic": {"patch_size": (8, 16, 24), "spacing_mm": (3.0, 1.0, 1.0)},
}


def write(path: Path, plan: str) -> Path:
    """A checkpoint of a network of that plan, with all its parameters and statistics away from where they start."""
    torch.manual_seed(1)
    network = UNet(base_features=4, max_features=8, **PLANS[plan])
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor.normal_(std=0.3)
        if name.endswith("running_var"):
            tensor.abs_().add_(0.5)
    settings = network.settings
    content = torch.load(write_checkpoint(path), weights_only=True)
    content["pedseg"] |= {
        "network": settings,
        "patch_size": settings["patch_size"],
        "spacing_mm": settings["spacing_mm"],
    }
    content["state_dict"] = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save(content, path)
    return path


@pytest.mark.exact(
    "Logits of the ONNX model in onnxruntime on the CPU and of the network, as a part of the largest logit (instance "
    "norm, batch norm, anisotropic plan; batches of 1 and 3 random patches)",
    section="Interoperation",
    peer="onnxruntime",
    tolerance=1e-4,
)
@pytest.mark.parametrize("plan", PLANS)
def test_logits_equal_the_networks(tmp_path: Path, plan: str, exact: Exact) -> None:
    checkpoint = write(tmp_path / "a run" / "checkpoints" / "last.ckpt", plan)
    output = tmp_path / "models of mine" / "network.onnx"
    assert main(["to-onnx", str(tmp_path / "a run"), "--output", str(output)]) == 0
    assert [path.name for path in output.parent.iterdir()] == ["network.onnx"]  # the weights are inside
    session = onnxruntime.InferenceSession(str(output), providers=["CPUExecutionProvider"])
    network = load_network(checkpoint).network
    generator = torch.Generator().manual_seed(7)
    for batch in (1, 3):
        image = torch.randn(batch, 4, *PLANS[plan]["patch_size"], generator=generator)
        with torch.inference_mode():
            expected = network(image)
        (logits,) = session.run(["logits"], {"image": image.numpy()})
        exact(float((torch.from_numpy(logits) - expected).abs().max() / expected.abs().max()))


def test_the_file_describes_itself_and_no_machine(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    checkpoint = write(tmp_path / "last.ckpt", "instance norm")
    capfd.readouterr()
    difference = export_onnx(checkpoint, tmp_path / "network.onnx")
    assert difference is not None
    assert difference < 1e-4
    assert capfd.readouterr() == ("", "")  # torch.onnx talks
    model = onnx.load(tmp_path / "network.onnx")
    onnx.checker.check_model(model, full_check=True)
    properties = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert properties["channels"] == ["t1n", "t1c", "t2w", "t2f"]
    assert properties["regions"] == ["wt", "tc", "et"]
    assert properties["patch_size"] == [16, 16, 16]
    assert properties["network"]["deep_supervision"] is False
    assert "standard deviation" in properties["normalisation"]
    assert {opset.domain for opset in model.opset_import} == {""}  # nothing but standard operators
    heads = [tensor.name for tensor in model.graph.initializer if tensor.name.startswith("seg_layers")]
    assert {name.split(".")[1] for name in heads} == {"0"}
    data = (tmp_path / "network.onnx").read_bytes()
    assert b"site-packages" not in data
    assert b".py" not in data


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = write(tmp_path / "last.ckpt", "batch norm")
    output = tmp_path / "network.onnx"
    with pytest.raises(PedsegError, match=r"give --output network\.onnx"):
        export_onnx(checkpoint, tmp_path / "network.pt")
    output.write_text("mine")
    with pytest.raises(PedsegError, match="exists"):
        export_onnx(checkpoint, output)
    monkeypatch.setattr(onnx_model, "LARGEST", 10)
    with pytest.raises(PedsegError, match="do not fit one ONNX file"):
        export_onnx(checkpoint, output, overwrite=True)
    monkeypatch.setattr(onnx_model, "find_spec", lambda name: None)
    with pytest.raises(PedsegError, match=r"onnx and onnxscript not installed; pip install 'pedseg\[export\]'"):
        export_onnx(checkpoint, output, overwrite=True)
    assert output.read_text() == "mine"


def test_a_model_that_computes_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = write(tmp_path / "last.ckpt", "batch norm")
    monkeypatch.setattr(onnx_model, "run_onnx", lambda path, image: image[:, :3] * 1e3)
    with pytest.raises(PedsegError, match="differs from the network"):
        export_onnx(checkpoint, tmp_path / "network.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
