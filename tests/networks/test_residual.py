"""The U-Net with a residual encoder against a network written out by hand and nnU-Net's own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pedseg.errors import PedsegError
from pedseg.networks import ResidualUNet
from pedseg.networks.layers import AveragePool
from pedseg.networks.nnunet_keys import distinct_weights, nnunet_keys, weights_from_nnunet
from pedseg.networks.residual import ResidualBlock
from tests.exactness import Exact
from tests.networks.small import randomised

PARAMETERS = 102_353_167  # at 128³, five heads
PEER_PROGRAM = """
import sys, torch
from torch import nn
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
def build(features, kernels, strides, blocks):
    n = len(features)
    return ResidualEncoderUNet(4, n, features, nn.Conv3d, kernels, strides, blocks, 3, [1] * (n - 1), True,
        nn.InstanceNorm3d, {"eps": 1e-5, "affine": True}, None, None, nn.LeakyReLU, {"inplace": True}, True)
full = build([32, 64, 128, 256, 320, 320], [[3] * 3] * 6, [[1] * 3] + [[2] * 3] * 5, [1, 3, 4, 6, 6, 6])
torch.manual_seed(0)
saved = {"parameters": sum(p.numel() for p in full.parameters())}
cube = [4, 8, 16, 16], [[3] * 3] * 4, [[1] * 3] + [[2] * 3] * 3, [1, 3, 4, 6]
flat = [4, 8, 8, 12], [[1, 3, 3], [1, 3, 3], [3] * 3, [3] * 3], [[1] * 3, [1, 2, 2], [2, 2, 2], [1] * 3], [2, 1, 2, 1]
for name, plan, shape in (("cube", cube, (2, 4, 32, 32, 32)), ("flat", flat, (1, 4, 8, 16, 24))):
    net = build(*plan)
    for p in net.parameters():
        nn.init.normal_(p, std=0.3)
    image = torch.randn(shape)
    with torch.no_grad():
        logits = net(image)
    features, kernels, strides, blocks = plan
    saved[name] = {"plan": {"features": features, "kernels": kernels, "strides": strides, "blocks": blocks},
                   "weights": dict(net.state_dict()), "image": image, "logits": logits}
torch.save(saved, sys.argv[1])
"""


def by_hand(weights: dict[str, Tensor], x: Tensor, blocks: list[int]) -> list[Tensor]:
    """nnU-Net's forward in plain functions, cubic kernels only, on weights under nnU-Net's names."""

    def layer(name: str, x: Tensor, stride: int = 1, *, active: bool = True) -> Tensor:
        weight = weights[f"{name}.conv.weight"]
        x = F.conv3d(x, weight, weights.get(f"{name}.conv.bias"), stride=stride, padding=weight.shape[-1] // 2)
        x = F.instance_norm(x, weight=weights[f"{name}.norm.weight"], bias=weights[f"{name}.norm.bias"])
        return torch.where(x > 0, x, 0.01 * x) if active else x

    x, skips = layer("encoder.stem.convs.0", x), []
    for s, count in enumerate(blocks):
        for b in range(count):
            name, stride = f"encoder.stages.{s}.blocks.{b}", 2 if s and not b else 1
            shortcut = F.avg_pool3d(x, stride) if stride > 1 else x
            if f"{name}.skip.1.conv.weight" in weights:
                shortcut = layer(f"{name}.skip.1", shortcut, active=False)
            x = layer(f"{name}.conv2", layer(f"{name}.conv1", x, stride), active=False) + shortcut
            x = torch.where(x > 0, x, 0.01 * x)
        skips.append(x)
    logits = []
    for s in range(len(blocks) - 1):
        up = f"decoder.transpconvs.{s}"
        x = F.conv_transpose3d(x, weights[f"{up}.weight"], weights[f"{up}.bias"], stride=2)
        x = layer(f"decoder.stages.{s}.convs.0", torch.cat([x, skips[len(blocks) - 2 - s]], 1))
        head = f"decoder.seg_layers.{s}"
        logits.append(F.conv3d(x, weights[f"{head}.weight"], weights[f"{head}.bias"]))
    return logits[::-1]


@pytest.fixture(scope="module")
def peer(peers_python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("peer") / "network.pt"
    subprocess.run([str(peers_python), "-c", PEER_PROGRAM, str(path)], check=True)
    saved: dict[str, Any] = torch.load(path, weights_only=True)
    return saved


@pytest.mark.exact(
    "Logits of every head of the residual network, random weights, as a part of the largest: both memory layouts, "
    "patch 32³",
    section="Network",
    peer="independent implementation in the tests",
    tolerance=1e-5,
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_logits_equal_the_forward_by_hand(layout: torch.memory_format, exact: Exact) -> None:
    network = randomised(ResidualUNet(patch_size=(32,) * 3, base_features=4, max_features=16, deep_supervision=True))
    weights = {other: network.state_dict()[own] for own, other in nnunet_keys(network).items()}
    network.to(memory_format=layout)  # type: ignore[call-overload]
    image = torch.randn(2, 4, 32, 32, 32)
    with torch.no_grad():
        output = network.forward_features(image.contiguous(memory_format=layout))
        expected = by_hand({k: v.double() for k, v in weights.items()}, image.double(), [1, 3, 4, 6])
    assert [tuple(head.shape[2:]) for head in output.logits] == [(32,) * 3, (16,) * 3, (8,) * 3]
    for head, reference in zip(output.logits, expected, strict=True):
        exact((head.double() - reference).abs().max() / reference.abs().max())


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(
            plan,
            marks=pytest.mark.exact(
                f"Logits of every head of the residual network, random weights, as a part of the largest: {described}",
                section="Network",
                peer="nnunetv2",
                tolerance=1e-5,
            ),
        )
        for plan, described in (
            ("cube", "cubic kernels, patch 32³"),
            ("flat", "flat kernels and strides, a stage without one, patch 8×16×24"),
        )
    ],
)
def test_logits_equal_nnunets_network(peer: dict[str, Any], plan: str, exact: Exact) -> None:
    saved = peer[plan]
    network = ResidualUNet(patch_size=saved["image"].shape[2:], deep_supervision=True, **saved["plan"])
    assert {*nnunet_keys(network).values()} == {*distinct_weights(saved["weights"])}
    network.load_state_dict(weights_from_nnunet(network, saved["weights"]))
    with torch.no_grad():
        output = network.forward_features(saved["image"])
    for head, reference in zip(output.logits, saved["logits"], strict=True):
        exact((head - reference).abs().max() / reference.abs().max().clamp_min(1))


@pytest.mark.exact(
    "Number of parameters of the BraTS network with a residual encoder, ResEnc M (patch 128³, five heads): 102,353,167",
    section="Network",
    peer="nnunetv2",
    tolerance=0,
)
def test_parameter_count_equals_nnunets_network(peer: dict[str, Any], exact: Exact) -> None:
    with torch.device("meta"):
        network = ResidualUNet(patch_size=(128,) * 3, deep_supervision=True)
    exact(abs(peer["parameters"] - sum(p.numel() for p in network.parameters())))
    assert peer["parameters"] == PARAMETERS


def test_brats_preset() -> None:
    with torch.device("meta"):
        network = ResidualUNet(patch_size=(128,) * 3, deep_supervision=True)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS
    assert network.decoder_shapes[3] == (64, (64, 64, 64))
    assert network.topology.features == (32, 64, 128, 256, 320, 320)


@pytest.mark.parametrize(("given", "made"), [([2], [2, 2, 2]), ([1, 3, 4, 6], [1, 3, 4])])
def test_blocks_are_as_many_numbers_as_stages(given: list[int], made: list[int]) -> None:
    network = ResidualUNet(patch_size=(16,) * 3, base_features=2, blocks=given)
    assert network.settings["blocks"] == made
    assert [sum(isinstance(m, ResidualBlock) for m in stage.modules()) for stage in network.encoder] == made


def test_blocks_start_as_the_identity() -> None:
    torch.manual_seed(0)
    network = ResidualUNet(patch_size=(16,) * 3, base_features=4)
    block = network.encoder.get_submodule("2.blocks.3")
    x = torch.rand(1, 16, 4, 4, 4)
    assert torch.equal(block(x), x)
    weight = block.get_parameter("conv1.conv.weight")
    assert weight.detach().std().item() == pytest.approx((2 / (1 + 0.01**2) / (16 * 27)) ** 0.5, rel=0.05)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_pools_keep_the_layout(layout: torch.memory_format) -> None:
    x = torch.randn(2, 8, 4, 6, 8).contiguous(memory_format=layout)
    pooled = AveragePool((1, 2, 2))(x)
    assert pooled.is_contiguous(memory_format=layout)
    assert torch.equal(pooled, F.avg_pool3d(x, (1, 2, 2)))


def test_no_monai_is_needed() -> None:
    program = (
        "import sys; from pedseg.networks import build; "
        "build({'name': 'residual_unet'}, patch_size=(16, 16, 16), spacing_mm=(1, 1, 1)); "
        "raise SystemExit('monai' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_foreign_weights_are_refused() -> None:
    network = ResidualUNet(patch_size=(16,) * 3, base_features=2)
    weights = {other: network.state_dict()[own] for own, other in nnunet_keys(network).items()}
    with pytest.raises(PedsegError, match=r"lack 'encoder.stem.convs.0.conv.weight'"):
        weights_from_nnunet(network, {k: v for k, v in weights.items() if "stem" not in k})
