"""Checkpoints that can be used, and those that cannot."""

from pathlib import Path

import pytest
import torch

from pedseg import __version__
from pedseg.errors import PedsegError
from pedseg.inference import load_network
from pedseg.networks import UNet
from tests.builders import write_checkpoint
from tests.networks.small import EVERY


def test_network_comes_back(tmp_path: Path) -> None:
    loaded = load_network(write_checkpoint(tmp_path / "a b" / "last.ckpt", seed=3))
    torch.manual_seed(3)
    expected = UNet(patch_size=(16, 16, 16), base_features=4, max_features=8).eval()
    image = torch.rand(1, 4, 16, 16, 16)
    assert torch.equal(loaded.network(image), expected(image))
    assert not loaded.network.training
    assert loaded.patch_size == (16, 16, 16)
    assert loaded.spacing_mm == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("name", EVERY)
def test_every_kind_comes_back(tmp_path: Path, name: str) -> None:
    path = write_checkpoint(tmp_path / "last.ckpt", network=name)
    network = load_network(path).network
    assert network.name == name
    weights = torch.load(path, weights_only=True)["state_dict"]
    assert all(torch.equal(value, weights[f"network.{key}"]) for key, value in network.state_dict().items())


def test_a_network_of_unknown_kind_is_refused(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "last.ckpt")
    content = torch.load(path, weights_only=True)
    content["pedseg"]["network"]["name"] = "os.system"
    torch.save(content, path)
    with pytest.raises(PedsegError, match=r"last\.ckpt: network\.name=os\.system is unknown; there are"):
        load_network(path)


def test_absent(tmp_path: Path) -> None:
    with pytest.raises(PedsegError, match="no such checkpoint"):
        load_network(tmp_path / "last.ckpt")


def test_truncated(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "last.ckpt")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(PedsegError, match="damaged"):
        load_network(path)


def test_foreign(tmp_path: Path) -> None:
    torch.save({"network_weights": {}}, tmp_path / "x.pth")
    with pytest.raises(PedsegError, match="no checkpoint of pedseg"):
        load_network(tmp_path / "x.pth")


def test_code_is_not_run(tmp_path: Path) -> None:
    torch.save({"pedseg": Path("x")}, tmp_path / "x.ckpt")
    with pytest.raises(PedsegError, match="is not opened"):
        load_network(tmp_path / "x.ckpt")


def test_other_regions_and_other_weights(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "last.ckpt")
    content = torch.load(path, weights_only=True)
    content["pedseg"]["regions"] = ["tc", "wt", "et"]
    torch.save(content, path)
    with pytest.raises(PedsegError, match="predicts"):
        load_network(path)
    content["pedseg"] |= {"regions": ["wt", "tc", "et"], "network": content["pedseg"]["network"] | {"base_features": 8}}
    torch.save(content, path)
    with pytest.raises(PedsegError, match="do not fit"):
        load_network(path)


def test_other_versions_and_missing_descriptions(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "last.ckpt")
    content = torch.load(path, weights_only=True)
    content["pedseg"]["version"] = f"{__version__}.post1"
    torch.save(content, path)
    assert load_network(path)  # the same series
    content["pedseg"]["version"] = "99.0.0"
    torch.save(content, path)
    with pytest.raises(PedsegError, match=r"written by pedseg 99\.0\.0"):
        load_network(path)
    del content["pedseg"]["spacing_mm"]
    torch.save(content, path)
    with pytest.raises(PedsegError, match="does not say its spacing_mm"):
        load_network(path)


def test_a_list_of_tensors_is_foreign(tmp_path: Path) -> None:
    torch.save([torch.ones(2)], tmp_path / "x.pt")
    with pytest.raises(PedsegError, match="no checkpoint of pedseg"):
        load_network(tmp_path / "x.pt")
