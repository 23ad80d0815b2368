"""ONNX models: the network's logits in onnxruntime, a file that describes itself, and refusals."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pedseg.commands.convert import main
from pedseg.errors import PedsegError
from pedseg.files import write_json
from pedseg.inference import load_network
from pedseg.interop import onnx_model
from pedseg.interop.onnx_model import export_onnx
from pedseg.labels import Region
from pedseg.networks import above, rebuild
from pedseg.runs import RunFolder
from tests.builders import write_checkpoint
from tests.exactness import Exact

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

THRESHOLDS = (0.0, -0.5, 0.25)  # of the calibrated one
PLANS: dict[str, dict[str, Any]] = {
    "instance norm": {"patch_size": (16, 16, 16), "deep_supervision": True},
    "batch norm": {"patch_size": (16, 16, 16), "norm": "batch"},
    "anisotropic": {"patch_size": (8, 16, 24), "spacing_mm": (3.0, 1.0, 1.0)},
    "calibrated": {"patch_size": (16, 16, 16)},
    "residual encoder": {"patch_size": (8, 16, 24), "spacing_mm": (3.0, 1.0, 1.0), "name": "residual_unet"},
    "SegResNet": {"patch_size": (8, 16, 24), "spacing_mm": (3.0, 1.0, 1.0), "name": "segresnet"},
}


def described(path: Path) -> dict[str, Any]:
    """What a model says of itself."""
    return {entry.key: json.loads(entry.value) for entry in onnx.load(path).metadata_props}


def write(path: Path, plan: str) -> Path:
    """A checkpoint of a network of that plan, with all its parameters and statistics away from where they start."""
    torch.manual_seed(1)
    network = rebuild({"base_features": 4, "max_features": 8, **PLANS[plan]})
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


@pytest.fixture(scope="module", params=PLANS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Checkpoint and model of each plan."""
    folder = tmp_path_factory.mktemp("an export")
    checkpoint = write(folder / "a run" / "checkpoints" / "last.ckpt", request.param)
    output = folder / "models of mine" / "network.onnx"
    variant = "plain"
    if request.param == "calibrated":
        place = RunFolder(folder / "a run").variant(variant := "calibrated")
        write_json(place.settings, {"shares": {"tc": 0.9}, "target": ["ped"]})
        write_json(place.thresholds, {"thresholds": dict(zip(Region, THRESHOLDS, strict=True))})
    assert main(["to-onnx", str(folder / "a run"), "--output", str(output), "--variant", variant]) == 0
    return checkpoint, output


@pytest.mark.exact(
    "Logits of the ONNX model in onnxruntime on the CPU and of the network, as a part of the largest logit (instance "
    "norm, batch norm, anisotropic plan, thresholds, residual encoder, SegResNet; batches of 1 and 3 random patches)",
    section="Interoperation",
    peer="onnxruntime",
    tolerance=1e-4,
)
def test_logits_equal_the_networks(exported: tuple[Path, Path], exact: Exact) -> None:
    checkpoint, path = exported
    assert [file.name for file in path.parent.iterdir()] == ["network.onnx"]  # the weights are inside
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    loaded = load_network(checkpoint)
    generator = torch.Generator().manual_seed(7)
    for batch in (1, 3):
        image = torch.randn(batch, 4, *loaded.patch_size, generator=generator)
        with torch.inference_mode():
            expected = loaded.network(image)
            if "thresholds" in described(path):
                expected = above(expected, torch.tensor(THRESHOLDS))
        (logits,) = session.run(["logits"], {"image": image.numpy()})
        exact(float((torch.from_numpy(logits) - expected).abs().max() / expected.abs().max()))


@pytest.mark.slow
@pytest.mark.exact(
    "Logits of the ONNX model in onnxruntime on the CPU and of the network in float64, as a part of the largest logit "
    "(a patch of 128³, small width)",
    section="Interoperation",
    peer="onnxruntime",
    tolerance=1e-5,
)
def test_large_patches_are_as_exact(tmp_path: Path, exact: Exact) -> None:
    """The instance norm of onnxruntime itself is off by 4e-5 there."""
    checkpoint = write_checkpoint(tmp_path / "last.ckpt", patch_size=(128, 128, 128))
    assert export_onnx(checkpoint, tmp_path / "network.onnx") is not None
    image = torch.randn(1, 4, 128, 128, 128, generator=torch.Generator().manual_seed(7))
    with torch.inference_mode():
        expected = load_network(checkpoint).network.double()(image.double())
    logits = onnx_model.run_onnx(tmp_path / "network.onnx", image)
    exact(float((logits - expected).abs().max() / expected.abs().max()))


def test_the_file_describes_itself_and_no_machine(exported: tuple[Path, Path]) -> None:
    checkpoint, path = exported
    loaded = load_network(checkpoint)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    properties = described(path)
    assert properties["channels"] == ["t1n", "t1c", "t2w", "t2f"]
    assert properties["regions"] == ["wt", "tc", "et"]
    assert properties["patch_size"] == list(loaded.patch_size)
    assert properties["spacing_mm"] == list(loaded.spacing_mm)
    assert properties["network"] == loaded.network.settings | {"deep_supervision": False}
    assert "standard deviation" in properties["normalisation"]
    calibrated = (checkpoint.parents[1] / "predictions" / "calibrated").exists()
    assert properties.get("thresholds") == (list(THRESHOLDS) if calibrated else None)
    assert {opset.domain for opset in model.opset_import} == {""}  # nothing but standard operators
    heads = [tensor.name for tensor in model.graph.initializer if "seg_layers." in tensor.name]
    assert {name.partition("seg_layers.")[2].split(".")[0] for name in heads} == {"0"}
    data = path.read_bytes()
    assert b"site-packages" not in data
    assert b".py" not in data


@pytest.mark.slow
def test_the_command_says_one_line(tmp_path: Path) -> None:
    write(tmp_path / "a run" / "checkpoints" / "last.ckpt", "instance norm")
    command = [sys.executable, "-m", "pedseg.convert", "to-onnx", str(tmp_path / "a run"), "--output"]
    done = subprocess.run([*command, str(tmp_path / "network.onnx")], capture_output=True, check=True, text=True)
    assert done.stdout.startswith(f"{tmp_path / 'network.onnx'}: in onnxruntime")
    assert done.stdout.count("\n") == 1  # torch.onnx would say more
    assert done.stderr == ""


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


def test_a_model_that_computes_something_else_is_not_written(
    exported: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, path = exported
    model = onnx.load(path)
    heads = [tensor for tensor in model.graph.initializer if "seg_layers.0." in tensor.name]
    bias = next(tensor for tensor in heads if tensor.name.endswith("bias"))
    bias.raw_data = b"\x00\x00\x80\x41" * 3  # 16, three times
    monkeypatch.setattr(onnx_model, "_convert", lambda portable: model)
    with pytest.raises(PedsegError, match="differs from the network"):
        export_onnx(checkpoint, tmp_path / "network.onnx")
    assert not list(tmp_path.iterdir())
