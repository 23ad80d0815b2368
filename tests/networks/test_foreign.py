"""MONAI's SegResNet in the form of the contract, against MONAI's own."""

from typing import Any

import pytest
import torch
from torch import Tensor

from pedseg.errors import PedsegError
from pedseg.networks import SegResNet
from tests.exactness import Exact
from tests.networks.small import randomised

CASES: dict[str, dict[str, Any]] = {
    "cubic": {"patch_size": (32, 32, 32), "base_features": 4, "blocks": [1, 2, 2, 4]},
    "thick slices": {"patch_size": (8, 32, 48), "spacing_mm": (5.0, 1.0, 1.0), "base_features": 4, "blocks": [2, 1, 1]},
    "batch norms": {"patch_size": (16, 16, 16), "base_features": 4, "blocks": [1, 1], "norm": "batch"},
}


def monais(network: SegResNet) -> Any:
    """MONAI's network with the weights of ours."""
    from monai.networks.nets.segresnet_ds import SegResNetDS

    settings = network.settings
    theirs: Any = SegResNetDS(
        init_filters=settings["base_features"],
        in_channels=4,
        out_channels=3,
        norm=settings["norm"],
        blocks_down=settings["blocks"],
        dsdepth=len(settings["blocks"]) - 1,
        resolution=settings["spacing_mm"],
    )
    heads = len(network.seg_layers)
    weights: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():
        part, stage, rest = name.split(".", 2)
        if part == "encoder" and rest.startswith("entry"):
            before = f"layers.{int(stage) - 1}.downsample" if int(stage) else "conv_init"
            weights[f"encoder.{before}{rest.removeprefix('entry')}"] = tensor
        elif part == "encoder":
            weights[f"encoder.layers.{stage}.{rest}"] = tensor
        elif part == "decoder":
            weights[f"up_layers.{stage}.{rest}"] = tensor
        else:
            weights[f"up_layers.{heads - 1 - int(stage)}.head.{rest}"] = tensor
    theirs.load_state_dict(weights)
    return theirs


@pytest.mark.exact(
    "Logits of every head of SegResNet, random weights, as a part of the largest: cubic kernels, thick slices, batch "
    "norms; both memory layouts",
    section="Network",
    peer="monai",
    tolerance=1e-5,
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("case", CASES)
def test_logits_equal_monais(case: str, layout: torch.memory_format, exact: Exact) -> None:
    network = randomised(SegResNet(deep_supervision=True, **CASES[case])).train()
    theirs = monais(network).train()
    network.to(memory_format=layout)  # type: ignore[call-overload]
    image = torch.randn(2, 4, *CASES[case]["patch_size"])
    with torch.no_grad():
        found = network.forward_features(image.contiguous(memory_format=layout)).logits
        expected = theirs(image)
    expected = expected if isinstance(expected, list) else [expected]
    assert len(found) == len(expected) == len(CASES[case]["blocks"]) - 1
    for own, reference in zip(found, expected, strict=True):
        exact((own - reference).abs().max() / reference.abs().max())


def test_sizes() -> None:
    """The paper's four levels, those of thick slices, and fewer where patch or channels leave no room."""
    with torch.device("meta"):
        paper = SegResNet(patch_size=(128, 128, 128))
        thick = SegResNet(patch_size=(8, 32, 48), spacing_mm=(5.0, 1.0, 1.0))
        small = SegResNet(patch_size=(16, 16, 16))
        narrow = SegResNet(patch_size=(64, 64, 64), max_features=64)
    assert (paper.topology.features, paper.divisor) == ((32, 64, 128, 256), (8, 8, 8))
    assert thick.topology.strides == ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2))
    assert thick.topology.kernels == ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3))
    assert (small.topology.features, small.settings["blocks"]) == ((32, 64, 128), [1, 2, 2])
    assert (narrow.topology.features, narrow.divisor) == ((32, 64), (2, 2, 2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patch_size": (64, 66, 64)}, r"axis y has 66 voxels, not a multiple of 8; .* fit are 64 or 72"),
        ({"patch_size": (7, 64, 64)}, r"allow 1 levels, the network needs 2; give at least 8 voxels"),
        ({"patch_size": (64, 64, 64), "max_features": 32}, r"max_features 32 allow 1 levels"),
        ({"patch_size": (64, 64, 64), "norm": "group"}, r"norm 'group' is unknown"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PedsegError, match=message):
        SegResNet(**settings)
