"""Weights as safetensors: every bit kept, nothing but the segmentation path, and the network rebuilt."""

import json
import sys
from pathlib import Path

import pytest
import torch

from pedseg.commands.convert import main
from pedseg.errors import PedsegError
from pedseg.inference import Predictor, load_network
from pedseg.interop.safetensors_file import export_safetensors, load_safetensors
from tests.builders import write_checkpoint
from tests.exactness import Exact
from tests.networks.small import EVERY

safetensors = pytest.importorskip("safetensors")


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.exact(
    "Weights of a run's segmentation network, of every kind, written as safetensors and read back by the library "
    "itself: bits that differ",
    section="Interoperation",
    peer="safetensors",
    tolerance=0,
)
def test_bits_are_kept(tmp_path: Path, name: str, exact: Exact) -> None:
    from safetensors.torch import load_file

    checkpoint = write_checkpoint(tmp_path / "a run" / "checkpoints" / "last.ckpt", seed=3, network=name)
    output = tmp_path / "a b" / "network.safetensors"
    assert main(["to-safetensors", str(tmp_path / "a run"), "--output", str(output)]) == 0
    expected = load_network(checkpoint).network.state_dict()
    weights = load_file(output)
    assert weights.keys() == expected.keys()  # no classifier
    pairs = [(weights[key].view(torch.int32), expected[key].view(torch.int32)) for key in expected]
    different = sum(int((own ^ other).count_nonzero()) for own, other in pairs)
    exact(different)


def test_header(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "last.ckpt", patch_size=(16, 16, 32))
    path = export_safetensors(checkpoint, tmp_path / "network.safetensors")
    with safetensors.safe_open(path, framework="pt") as file:
        header = file.metadata()
    assert header["format"] == "pt"
    assert json.loads(header["patch_size"]) == [16, 16, 32]
    assert json.loads(header["spacing_mm"]) == [1.0, 1.0, 1.0]
    assert json.loads(header["channels"]) == ["t1n", "t1c", "t2w", "t2f"]
    assert json.loads(header["regions"]) == ["wt", "tc", "et"]
    assert json.loads(header["network"]) == load_network(checkpoint).network.settings


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("thresholds", [None, [0.0, -0.5, 0.25]])
def test_network_comes_back_and_predicts(tmp_path: Path, thresholds: list[float] | None, name: str) -> None:
    checkpoint = write_checkpoint(tmp_path / "last.ckpt", network=name)
    path = export_safetensors(checkpoint, tmp_path / "network.safetensors", thresholds=thresholds)
    device = torch.device("cpu")
    image = torch.rand(4, 18, 17, 16)
    expected = Predictor([checkpoint], device=device, thresholds=[thresholds]).logits(image)
    assert torch.equal(Predictor([path], device=device, load=load_safetensors).logits(image), expected)


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = write_checkpoint(tmp_path / "last.ckpt")
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(PedsegError, match=r"pip install 'pedseg\[export\]'"):
        export_safetensors(checkpoint, tmp_path / "network.safetensors")


def test_refusals(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "last.ckpt")
    with pytest.raises(PedsegError, match=r"give --output network\.safetensors"):
        export_safetensors(checkpoint, tmp_path / "network.bin")
    output = tmp_path / "network.safetensors"
    output.write_text("mine")
    with pytest.raises(PedsegError, match="exists"):
        export_safetensors(checkpoint, output)
    assert output.read_text() == "mine"
    with pytest.raises(PedsegError, match="damaged"):
        load_safetensors(output)
    export_safetensors(checkpoint, output, overwrite=True)
    assert load_safetensors(output)
    with pytest.raises(PedsegError, match="no such checkpoint"):
        export_safetensors(tmp_path / "absent.ckpt", tmp_path / "x.safetensors")
    from safetensors.torch import save_file

    save_file({"x": torch.ones(1)}, output)
    with pytest.raises(PedsegError, match="does not describe"):
        load_safetensors(output)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "network.safetensors"]


def test_equal_weights_are_equal_bytes(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "last.ckpt")
    files = [export_safetensors(checkpoint, tmp_path / f"{number}.safetensors") for number in range(4)]
    assert len({file.read_bytes() for file in files}) == 1


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("mirror_axes", '["$__import__(1)"]', "mirror_axes"),
        ("patch_size", "[100000, 100000, 100000]", "patch_size"),
        ("spacing_mm", "[NaN, 1, 1]", "spacing_mm"),
        ("network", '"x"', "network"),
        ("thresholds", "[1]", "thresholds"),
        ("regions", "[", "does not describe"),
        ("patch_size", "[" * 100_000, "does not describe"),
    ],
)
def test_headers_that_cannot_be_are_refused(tmp_path: Path, key: str, value: str, message: str) -> None:
    from safetensors.torch import load_file, save_file

    path = export_safetensors(write_checkpoint(tmp_path / "last.ckpt"), tmp_path / "network.safetensors")
    with safetensors.safe_open(path, framework="pt") as file:
        header = file.metadata()
    save_file(load_file(path), path, metadata=header | {key: value})
    with pytest.raises(PedsegError, match=rf"network\.safetensors: .*{message}"):
        load_safetensors(path)
