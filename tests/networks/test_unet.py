"""The U-Net against a network written out by hand, nnU-Net's own and the reference weights."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pedseg.errors import PedsegError
from pedseg.networks import UNet
from pedseg.networks.nnunet_keys import nnunet_keys, weights_from_nnunet
from tests.exactness import Exact
from tests.networks.small import randomised

PEER_PROGRAM = """
import sys, torch
from torch import nn
from dynamic_network_architectures.architectures.unet import PlainConvUNet
def build(features, kernels, strides):
    n = len(features)
    return PlainConvUNet(4, n, features, nn.Conv3d, kernels, strides, [2] * n, 3, [2] * (n - 1), True,
        nn.InstanceNorm3d, {"eps": 1e-5, "affine": True}, None, None, nn.LeakyReLU, {"inplace": True}, True)
full = build([32, 64, 128, 256, 320, 320], [[3] * 3] * 6, [[1] * 3] + [[2] * 3] * 5)
torch.manual_seed(0)
saved = {"parameters": sum(p.numel() for p in full.parameters())}
plans = {"cube": ([4, 8, 16, 16], [[3] * 3] * 4, [[1] * 3] + [[2] * 3] * 3, (2, 4, 32, 32, 32)),
         "flat": ([4, 8, 16], [[1, 3, 3], [1, 3, 3], [3] * 3], [[1] * 3, [1, 2, 2], [2, 2, 2]], (1, 4, 8, 16, 24))}
for name, (features, kernels, strides, shape) in plans.items():
    net = build(features, kernels, strides)
    for p in net.parameters():
        nn.init.normal_(p, std=0.3)
    image = torch.randn(shape)
    with torch.no_grad():
        logits = net(image)
    saved[name] = {"features": features, "kernels": kernels, "strides": strides,
                   "weights": dict(net.state_dict()), "image": image, "logits": logits}
torch.save(saved, sys.argv[1])
"""


def by_hand(weights: dict[str, Tensor], x: Tensor, stages: int) -> list[Tensor]:
    """nnU-Net's forward in plain functions, cubic kernels only, on weights under nnU-Net's names."""

    def double(name: str, x: Tensor, stride: int) -> Tensor:
        for i in (0, 1):
            layer = f"{name}.convs.{i}"
            weight, bias = weights[f"{layer}.conv.weight"], weights[f"{layer}.conv.bias"]
            x = F.conv3d(x, weight, bias, stride=stride if i == 0 else 1, padding=1)
            x = F.instance_norm(x, weight=weights[f"{layer}.norm.weight"], bias=weights[f"{layer}.norm.bias"])
            x = torch.where(x > 0, x, 0.01 * x)
        return x

    skips = []
    for s in range(stages):
        x = double(f"encoder.stages.{s}.0", x, 1 if s == 0 else 2)
        skips.append(x)
    logits = []
    for s in range(stages - 1):
        up = F.conv_transpose3d(
            x, weights[f"decoder.transpconvs.{s}.weight"], weights[f"decoder.transpconvs.{s}.bias"], stride=2
        )
        x = double(f"decoder.stages.{s}", torch.cat([up, skips[stages - 2 - s]], 1), 1)
        head = f"decoder.seg_layers.{s}"
        logits.append(F.conv3d(x, weights[f"{head}.weight"], weights[f"{head}.bias"]))
    return logits[::-1]


@pytest.fixture(scope="module")
def peer(peers_python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("peer") / "network.pt"
    subprocess.run([str(peers_python), "-c", PEER_PROGRAM, str(path)], check=True)
    saved: dict[str, Any] = torch.load(path, weights_only=True)
    return saved


@pytest.mark.parametrize(("deep_supervision", "parameters"), [(True, 31_198_991), (False, 31_196_675)])
def test_brats_preset_has_nnunets_parameters(deep_supervision: bool, parameters: int) -> None:
    """Five heads hold 2,415 parameters; without deep supervision the 99 of the full-size one are left."""
    with torch.device("meta"):
        network = UNet(patch_size=(128,) * 3, deep_supervision=deep_supervision)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert network.decoder_shapes[3] == (64, (64, 64, 64))


@pytest.mark.exact(
    "Logits of every head, random weights, as a part of the largest: both memory layouts, patch 32³",
    section="Network",
    peer="independent implementation in the tests",
    tolerance=1e-5,
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_logits_equal_the_forward_by_hand(layout: torch.memory_format, exact: Exact) -> None:
    network = randomised(UNet(patch_size=(32,) * 3, base_features=4, deep_supervision=True))
    weights = {other: network.state_dict()[own] for own, other in nnunet_keys(network).items()}
    network.to(memory_format=layout)  # type: ignore[call-overload]
    image = torch.randn(2, 4, 32, 32, 32)
    with torch.no_grad():
        output = network.forward_features(image.contiguous(memory_format=layout))
        expected = by_hand({k: v.double() for k, v in weights.items()}, image.double(), stages=4)
        assert torch.equal(network(image.contiguous(memory_format=layout)), output.logits[0])
    assert [tuple(head.shape[2:]) for head in output.logits] == [(32,) * 3, (16,) * 3, (8,) * 3]
    for head, reference in zip(output.logits, expected, strict=True):
        exact((head.double() - reference).abs().max() / reference.abs().max())


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(
            plan,
            marks=pytest.mark.exact(
                f"Logits of every head, random weights, as a part of the largest: {described}",
                section="Network",
                peer="nnunetv2",
                tolerance=1e-5,
            ),
        )
        for plan, described in (
            ("cube", "cubic kernels, patch 32³"),
            ("flat", "flat kernels and strides, patch 8×16×24"),
        )
    ],
)
def test_logits_equal_nnunets_network(peer: dict[str, Any], plan: str, exact: Exact) -> None:
    saved = peer[plan]
    shape = {key: saved[key] for key in ("features", "kernels", "strides")}
    network = UNet(patch_size=saved["image"].shape[2:], deep_supervision=True, **shape)
    network.load_state_dict(weights_from_nnunet(network, saved["weights"]))
    with torch.no_grad():
        output = network.forward_features(saved["image"])
    for head, reference in zip(output.logits, saved["logits"], strict=True):
        exact((head - reference).abs().max() / reference.abs().max().clamp_min(1))


@pytest.mark.exact(
    "Number of parameters of the BraTS network (patch 128³, five heads): 31,198,991",
    section="Network",
    peer="nnunetv2",
    tolerance=0,
)
def test_parameter_count_equals_nnunets_network(peer: dict[str, Any], exact: Exact) -> None:
    with torch.device("meta"):
        network = UNet(patch_size=(128,) * 3, deep_supervision=True)
    exact(abs(peer["parameters"] - sum(p.numel() for p in network.parameters())))
    assert peer["parameters"] == 31_198_991


@pytest.mark.exact(
    "Logits of the segmentation network with batch norms, released layout",
    section="Network",
    peer="released network of Fu et al.",
    tolerance=1e-5,
)
def test_reference_weights_with_batch_norm(shared: Path, exact: Exact) -> None:
    folder = shared / "fixtures"
    settings = json.loads((folder / "da_nnunet_small.json").read_text())
    weights = torch.load(folder / "da_nnunet_small.pth", weights_only=True)["network_weights"]
    expected = torch.load(folder / "da_nnunet_small_expected.pt", weights_only=True)
    network = UNet(
        patch_size=settings["patch_size"],
        norm="batch",
        features=settings["features"],
        kernels=[[3] * 3] * 5,
        strides=settings["strides"],
    )
    network.load_state_dict(weights_from_nnunet(network, weights))
    with torch.no_grad():
        exact((network.eval()(expected["image"]) - expected["seg_logits"]).abs().max())


def test_initialisation_is_kaiming_with_zero_biases() -> None:
    torch.manual_seed(0)
    network = UNet(patch_size=(16,) * 3, base_features=16)
    weight = network.get_parameter("encoder.1.conv2.conv.weight")
    assert weight.detach().std().item() == pytest.approx((2 / (1 + 0.01**2) / (32 * 27)) ** 0.5, rel=0.02)
    biases = [p for n, p in network.named_parameters() if n.endswith("bias")]
    assert all(not bias.any() for bias in biases)
    assert len(biases) == 10 + 2 + 10 + 1  # convolutions, transposed convolutions, norms, head


def test_bad_settings_are_refused() -> None:
    with pytest.raises(PedsegError, match="norm 'layer'"):
        UNet(patch_size=(16,) * 3, norm="layer")  # type: ignore[arg-type]
    with pytest.raises(PedsegError, match="all three or none"):
        UNet(patch_size=(16,) * 3, features=[4, 8, 16])


def test_foreign_weights_are_refused() -> None:
    network = UNet(patch_size=(16,) * 3, base_features=2)
    weights = {other: network.state_dict()[own] for own, other in nnunet_keys(network).items()}
    with pytest.raises(PedsegError, match=r"lack 'decoder.stages.0.convs.0.conv.weight'"):
        weights_from_nnunet(network, {k: v for k, v in weights.items() if not k.startswith("decoder.stages.0")})
    with pytest.raises(PedsegError, match=r"shape \(3,\), the network needs \(2,\)"):
        weights_from_nnunet(network, weights | {"encoder.stages.0.0.convs.0.conv.bias": torch.zeros(3)})
