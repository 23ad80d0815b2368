"""Checkpoints that can be used, and those that cannot."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

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
    for version in (f"{__version__}.post1", "0.1.0", "0.1.7"):  # the same series, and one that is read, too
        content["pedseg"]["version"] = version
        torch.save(content, path)
        assert load_network(path)
    content["pedseg"]["version"] = "99.0.0"
    torch.save(content, path)
    with pytest.raises(PedsegError, match=r"written by pedseg 99\.0\.0"):
        load_network(path)
    content["pedseg"]["version"] = __version__
    del content["pedseg"]["spacing_mm"]
    torch.save(content, path)
    with pytest.raises(PedsegError, match="does not say its spacing_mm"):
        load_network(path)


def test_a_list_of_tensors_is_foreign(tmp_path: Path) -> None:
    torch.save([torch.ones(2)], tmp_path / "x.pt")
    with pytest.raises(PedsegError, match="no checkpoint of pedseg"):
        load_network(tmp_path / "x.pt")


EVIL = "$__import__('os').system('true')"
NONSENSE: dict[str, tuple[dict[str, Any], str]] = {
    "code": ({"mirror_axes": [EVIL]}, r"mirror_axes\.0 .* should be a valid integer"),
    "an axis that is none": ({"mirror_axes": [3]}, "mirror_axes"),
    "an axis twice": ({"mirror_axes": [0, 0]}, "names an axis twice"),
    "code for a patch": ({"patch_size": EVIL}, "patch_size"),
    "text for a number": ({"patch_size": ["16", 16, 16]}, r"patch_size\.0 '16'"),
    "part of a voxel": ({"patch_size": [16.5, 16, 16]}, r"patch_size\.0 16\.5"),
    "a huge patch": ({"patch_size": [100_000] * 3}, r"patch_size\.0 100000"),
    "a large patch": ({"patch_size": [4096] * 3}, "more than 134217728 voxels"),
    "two axes": ({"patch_size": [16, 16]}, r"does not say its patch_size\.2"),
    "no spacing": ({"spacing_mm": [0, 1, 1]}, r"spacing_mm\.0 0 should be greater"),
    "negative spacing": ({"spacing_mm": [-1.0, 1, 1]}, r"spacing_mm\.0 -1\.0"),
    "NaN": ({"spacing_mm": [float("nan"), 1, 1]}, r"spacing_mm\.0 nan should be a finite number"),
    "no mapping": ({"network": [1, 2]}, "network"),
    "another patch": ({"patch_size": [32, 16, 16]}, "another patch or voxel size than its network"),
    "a number for a version": ({"version": 3}, "does not say its version"),
}
NETWORKS: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key": ({"_target_": "os.system"}, r"network\._target_ is unknown"),
    "wide": ({"base_features": 10**9}, "base_features"),
    "wider than its weights": ({"base_features": 4096, "max_features": 8192}, "do not fit the network"),
    "deep": ({"features": [4] * 10**5, "kernels": [[3] * 3] * 10**5, "strides": [[1] * 3] * 10**5}, "at most 16"),
    "no stride": ({"features": [4] * 3, "kernels": [[3] * 3] * 3, "strides": [[0] * 3] * 3}, r"strides\.0\.0=0"),
    "five channels": ({"in_channels": 5}, "do not fit|maps 5 channels"),
    "thresholds": ({"thresholds": ["x", 0, 0]}, "thresholds"),
}


def edited(path: Path, *parts: str, **changes: Any) -> Path:
    """A checkpoint that says other things in one of its parts."""
    content = torch.load(write_checkpoint(path), weights_only=True)
    place = content
    for part in parts:
        place = place[part]
    place |= changes
    torch.save(content, path)
    return path


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_by_name(tmp_path: Path, name: str) -> None:
    changes, message = NONSENSE[name]
    with pytest.raises(PedsegError, match=rf"last\.ckpt: .*{message}"):
        load_network(edited(tmp_path / "last.ckpt", "pedseg", **changes))


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_that_cannot_be_are_not_built(tmp_path: Path, name: str) -> None:
    changes, message = NETWORKS[name]
    with pytest.raises(PedsegError, match=rf"last\.ckpt: (?s:.*)({message})"):
        load_network(edited(tmp_path / "last.ckpt", "pedseg", "network", **changes))


@pytest.mark.parametrize(
    "weight", [torch.full((4,), float("inf")), torch.zeros(1).expand(10**12), torch.ones(4, device="meta"), "text"]
)
def test_weights_are_finite_numbers_that_are_there(tmp_path: Path, weight: Any) -> None:
    path = edited(tmp_path / "last.ckpt", "state_dict", **{"network.encoder.0.conv1.conv.bias": weight})
    with pytest.raises(PedsegError, match=r"last\.ckpt: its '?network|last\.ckpt: its '?encoder"):
        load_network(path)


def test_no_flipped_bit_goes_unnoticed(tmp_path: Path) -> None:
    """Neither in the weights nor in what describes them; bits of the archive that nobody reads may flip."""
    path = write_checkpoint(tmp_path / "last.ckpt")
    content, expected = path.read_bytes(), load_network(path)
    refused = 0
    for place in range(40, len(content), len(content) // 60):
        path.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        try:
            found = load_network(path)
        except PedsegError:
            refused += 1
            continue
        pairs = zip(found.network.state_dict().values(), expected.network.state_dict().values(), strict=True)
        assert all(torch.equal(own, other) for own, other in pairs)
        assert replace(found, network=expected.network, identity=expected.identity) == expected
    assert refused > 30


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"\x80\x02}q\x00."])
def test_what_is_no_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(PedsegError, match=r"last\.ckpt: is damaged or no checkpoint"):
        load_network(tmp_path / "last.ckpt")


def test_a_packed_archive_is_not_unpacked(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "last.ckpt", "w", ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6))
    with pytest.raises(PedsegError, match="it is compressed"):
        load_network(tmp_path / "last.ckpt")


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").mkdir()
    with pytest.raises(PedsegError, match="no such checkpoint"):
        load_network(tmp_path / "last.ckpt")
