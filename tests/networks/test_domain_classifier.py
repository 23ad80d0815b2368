"""Domain classifier: the paper's form, the released code's, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pedseg.errors import PedsegError
from pedseg.networks import DomainClassifier, UNet
from pedseg.networks.nnunet_keys import classifier_from_released, weights_from_nnunet
from tests.exactness import Exact


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_released_form_has_its_parameters() -> None:
    with torch.device("meta"):
        classifier = DomainClassifier(in_channels=64, input_size=(64,) * 3, shared_blocks=True)
    assert classifier.hidden.in_features == 51_200
    assert parameters(classifier) == 6_644_902


def test_papers_form_pools_every_block() -> None:
    with torch.device("meta"):
        classifier = DomainClassifier(in_channels=64, input_size=(64,) * 3)
    assert classifier.hidden.in_features == 100 * 4**3
    convolutions = (64 * 27 + 1) * 100 + 7 * (100 * 27 + 1) * 100
    assert parameters(classifier) == convolutions + 8 * 200 + (6400 + 1) * 100 + 101 * 2


def test_logits_by_hand() -> None:
    classifier = DomainClassifier(in_channels=3, input_size=(8, 8, 12), channels=4, blocks=2)
    x = torch.randn(2, 3, 8, 8, 12)
    expected = x
    for block in classifier.blocks:
        assert isinstance(block, nn.Sequential)
        for convolution, norm in ((block[0], block[1]), (block[3], block[4])):
            plain = nn.InstanceNorm3d(4, affine=True)
            plain.load_state_dict(norm.state_dict())
            expected = nn.functional.leaky_relu(plain(convolution(expected)), 0.01)
        expected = nn.functional.max_pool3d(expected, 2, 2)
    expected = classifier.output(classifier.hidden(expected.reshape(2, 4 * 2 * 2 * 3)).clamp_min(0))
    torch.testing.assert_close(classifier(x), expected, atol=1e-5, rtol=1e-5)
    assert expected.shape == (2, 2)


@pytest.mark.exact(
    "Logits of the domain classifier in the released form: batch norms, shared blocks",
    section="Network",
    peer="released network of Fu et al.",
    tolerance=1e-5,
)
def test_reference_weights(shared: Path, exact: Exact) -> None:
    """The reference puts the target first."""
    folder = shared / "fixtures"
    settings = json.loads((folder / "da_nnunet_small.json").read_text())
    weights = torch.load(folder / "da_nnunet_small.pth", weights_only=True)["network_weights"]
    expected = torch.load(folder / "da_nnunet_small_expected.pt", weights_only=True)
    plan: dict[str, Any] = {"features": settings["features"], "kernels": [[3] * 3] * 5, "strides": settings["strides"]}
    network = UNet(patch_size=settings["patch_size"], norm="batch", **plan).eval()
    network.load_state_dict(weights_from_nnunet(network, weights))
    stage = settings["classifier"]["decoder_stage"]
    channels, size = network.decoder_shapes[stage - 1]
    classifier = DomainClassifier(in_channels=channels, input_size=size, shared_blocks=True, norm="batch").eval()
    classifier.load_state_dict(classifier_from_released(classifier, weights))
    with torch.no_grad():
        logits = classifier(network.forward_features(expected["image"]).decoder[stage - 1])
    exact((logits - expected["domain_logits"].flip(1)).abs().max())


def test_average_pooling_takes_any_size() -> None:
    classifier = DomainClassifier(in_channels=2, input_size=(16,) * 3, channels=3, blocks=2, pooling="average")
    assert classifier.hidden.in_features == 3
    assert classifier(torch.randn(1, 2, 24, 16, 20)).shape == (1, 2)


def test_without_pooling_every_place_has_the_logits_of_its_own_features() -> None:
    """The linear layers as 1³ convolutions, on any size; their mean is what no other pooling gives."""
    torch.manual_seed(0)
    classifier = DomainClassifier(in_channels=2, input_size=(16,) * 3, channels=3, blocks=2, pooling="none")
    averaging = DomainClassifier(in_channels=2, input_size=(16,) * 3, channels=3, blocks=2, pooling="average")
    averaging.load_state_dict(classifier.state_dict())
    features = torch.randn(2, 2, 24, 16, 20)
    x = features
    for block in classifier.blocks:
        x = F.max_pool3d(block(x), 2)
    hidden = F.conv3d(x, classifier.hidden.weight[..., None, None, None], classifier.hidden.bias).relu()
    expected = F.conv3d(hidden, classifier.output.weight[..., None, None, None], classifier.output.bias)
    logits = classifier(features)
    assert logits.shape == (2, 2, 6, 4, 5)
    torch.testing.assert_close(logits, expected)
    # where all places have the same features there is one vote, that of the average
    even = torch.ones(1, 2, 4, 4, 4)
    torch.testing.assert_close(classifier(even).mean((2, 3, 4)), averaging(even), atol=1e-5, rtol=0)


def test_every_place_sends_a_gradient_without_pooling() -> None:
    torch.manual_seed(0)
    classifier = DomainClassifier(in_channels=2, input_size=(8,) * 3, channels=8, blocks=1, pooling="none")
    features = torch.randn(1, 2, 8, 8, 8, requires_grad=True)
    logits = classifier(features)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, torch.ones(1, 4, 4, 4, dtype=torch.long)), features)
    assert gradient.isfinite().all()
    assert (gradient != 0).float().mean() > 0.9


def test_flatten_refuses_another_size() -> None:
    classifier = DomainClassifier(in_channels=2, input_size=(16,) * 3, channels=3, blocks=2)
    with pytest.raises(PedsegError, match=r"reads \(4, 4, 4\) voxels after its pools, not \(6, 4, 4\)"):
        classifier(torch.randn(1, 2, 24, 16, 16))


def test_settings_rebuild_the_classifier() -> None:
    variants: list[dict[str, Any]] = [{"shared_blocks": True, "norm": "batch"}, {"pooling": "none", "blocks": 2}]
    for variant in variants:
        classifier = DomainClassifier(in_channels=2, input_size=(16,) * 3, channels=3, **variant)
        settings = json.loads(json.dumps(classifier.settings))
        assert settings.items() >= variant.items()
        DomainClassifier(**settings).load_state_dict(classifier.state_dict())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_size": (8, 16, 16)}, r"4 pools reduce the decoder stage of \(8, 16, 16\) voxels to \(0, 1, 1\)"),
        ({"input_size": (8, 8, 8), "shared_blocks": True}, "3 pools"),
        ({"blocks": 2, "shared_blocks": True}, "at least 3 to share"),
        ({"blocks": 0}, "at least 1"),
        ({"channels": 0}, "channels 0"),
        ({"pooling": "max"}, "pooling 'max'"),
        ({"norm": "none"}, "norm 'none'"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    valid: dict[str, Any] = {"in_channels": 2, "input_size": (16,) * 3, "channels": 2}
    with pytest.raises(PedsegError, match=message):
        DomainClassifier(**(valid | settings))


def test_bfloat16_gradients_are_finite_where_features_are_two_voxels_deep() -> None:
    """Regression: torch's own bfloat16 convolution has undefined weight gradients there."""
    torch.manual_seed(0)
    classifier = DomainClassifier(in_channels=8, input_size=(8, 8, 8), channels=16, blocks=3)
    classifier.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    parameters = list(classifier.parameters())
    for _ in range(30):
        features = torch.randn(4, 8, 8, 8, 8).contiguous(memory_format=torch.channels_last_3d)
        junk = [torch.full((16 * 16 * 27 * k,), float("nan")) for k in (1, 2, 4)]
        del junk
        with torch.autocast("cpu", torch.bfloat16):
            loss = classifier(features).float().square().sum()
        gradients = torch.autograd.grad(loss, parameters)
        assert all(gradient.abs().max() < 1e6 for gradient in gradients)
