"""Weights of nnU-Net and of the released code in forms that the shared fixtures do not have."""

from typing import Any

import pytest
import torch
from torch import Tensor

from pedseg.errors import PedsegError
from pedseg.interop.nnunet.network import Networks, build_networks
from pedseg.interop.nnunet.plans import Plan
from pedseg.networks import DomainClassifier, SegmentationNetwork, UNet
from pedseg.networks.nnunet_keys import classifier_keys
from pedseg.networks.topology import Topology
from tests.interop.nnunet.world import FEATURES, KERNELS, STRIDES, nnunet_weights, random_network

PATCH = (8, 16, 24)
TOPOLOGY = Topology.explicit(features=FEATURES, kernels=KERNELS, strides=STRIDES)


def build(weights: dict[str, Tensor], *, axis_order: tuple[int, ...] = (0, 1, 2)) -> Networks:
    plan = Plan("d", "3d_fullres", PATCH, (1.0, 1.0, 1.0), "unet", TOPOLOGY, {}, axis_order)
    return build_networks(weights, plan, channels=range(4), regions=range(3))


def with_classifier(network: SegmentationNetwork, **settings: Any) -> tuple[DomainClassifier, dict[str, Tensor]]:
    """Random classifier of the released form on the last decoder stage, and all weights under the released names."""
    channels, size = network.decoder_shapes[-1]
    form: dict[str, Any] = {"channels": 5, "blocks": 3, "shared_blocks": True, "norm": "batch"} | settings
    classifier = DomainClassifier(in_channels=channels, input_size=size, **form).eval()
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.normal_(std=0.3)
    own = classifier.state_dict()
    weights = {other: own[name] for name, other in classifier_keys(classifier).items()}
    for name in ("weight", "bias"):
        weights[f"domain_classifier.Dense2.{name}"] = weights[f"domain_classifier.Dense2.{name}"].flip(0)
    return classifier, nnunet_weights(network) | weights | {"domain_classifier.decoder.x": torch.ones(1)}


@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod."])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_classifier_comes_along(prefix: str, norm: str) -> None:
    network = random_network(PATCH)
    classifier, weights = with_classifier(network, norm=norm)
    built = build({f"{prefix}{name}": value for name, value in weights.items()})
    assert built.classifier is not None
    assert (built.decoder_stage, built.classifier.settings, built.left_out) == (2, classifier.settings, ())
    features = torch.randn(2, FEATURES[0], *PATCH)
    assert torch.equal(built.classifier(features), classifier(features))


def test_a_classifier_is_turned_with_its_network() -> None:
    """nnU-Net's axes are x, z, y here, also in the order in which the classifier flattens its features."""
    network, forward = random_network(PATCH), (2, 0, 1)
    classifier, weights = with_classifier(network)
    pooled = [size // 4 for size in PATCH]
    hidden = weights["domain_classifier.Dense1.0.weight"].reshape(-1, 5, *pooled)
    turned = {
        name: value.permute(0, 1, *(2 + axis for axis in forward)) if value.ndim == 5 else value
        for name, value in weights.items()
    }
    turned["domain_classifier.Dense1.0.weight"] = hidden.permute(0, 1, *(2 + axis for axis in forward)).flatten(1)
    built = build(turned, axis_order=(1, 2, 0))
    image = torch.randn(2, 4, *PATCH)
    assert built.classifier is not None
    assert torch.equal(built.network(image), network(image))
    features = network.forward_features(image).decoder[-1]
    assert torch.equal(built.classifier(features), classifier(features))


def test_a_classifier_of_another_form_is_left_out() -> None:
    network = random_network(PATCH)
    _, weights = with_classifier(network)
    other = {**weights, "domain_classifier.Dense1.0.weight": torch.ones(5, 7)}
    built = build(other)
    assert built.classifier is None
    assert len(built.left_out) == len([name for name in weights if name.startswith("domain_classifier.")]) - 1
    del weights["domain_classifier.doubleConvs2.0.conv.weight"]
    assert build(weights).classifier is None


def test_biases_and_lower_heads_may_be_absent() -> None:
    """nnU-Net without biases has none in its transposed convolutions either; those of `UNet` are then 0."""
    network = UNet(patch_size=PATCH, conv_bias=False, features=FEATURES, kernels=KERNELS, strides=STRIDES).eval()
    weights = nnunet_weights(network)
    for stage in range(len(FEATURES) - 1):
        assert not weights.pop(f"decoder.transpconvs.{stage}.bias").any()
    # Without deep supervision the only head of `UNet` is nnU-Net's last one.
    built = build(weights)
    assert not built.network.settings["deep_supervision"]
    image = torch.randn(1, 4, *PATCH)
    assert torch.equal(built.network(image), network(image))


def test_other_channels_than_the_description_names() -> None:
    weights = nnunet_weights(random_network(PATCH))
    first = "encoder.stages.0.0.convs.0.conv.weight"
    with pytest.raises(PedsegError, match=r"made for 3 channels, dataset.json names 4"):
        build({**weights, first: weights[first][:, :3]})
