"""What holds for a network of every kind, and how networks are chosen by name."""

import json
from typing import Any

import pytest
import torch

from pedseg.errors import PedsegError
from pedseg.networks import KINDS, PARTS, build, rebuild
from pedseg.networks.contract import joined
from pedseg.settings.conf import conf_dir
from tests.networks.small import EVERY, PATCH, randomised, small

EXPLICIT = {"features": [2, 4, 4], "kernels": [[3] * 3] * 3, "strides": [[1] * 3, [2] * 3, [2] * 3]}
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in EVERY),
    *((name, {"deep_supervision": True, "norm": "batch"}) for name in EVERY),
    ("unet", {"conv_bias": False, **EXPLICIT}),
]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("size", [PATCH, (32, 16, 24)])
def test_features_are_where_the_shapes_say(name: str, size: tuple[int, int, int]) -> None:
    """Bottleneck and decoder stages; the heads read the stages, and the deepest decoder stage the bottleneck."""
    network = small(name, patch=size, deep_supervision=True)
    output = network.forward_features(torch.randn(2, 4, *size))
    channels, space = network.bottleneck_shape
    assert output.bottleneck.shape == (2, channels, *space)
    assert [tuple(d.shape[1:]) for d in output.decoder] == [(c, *s) for c, s in network.decoder_shapes]
    assert [tuple(head.shape[1:]) for head in output.logits] == [(3, *s) for _, s in reversed(network.decoder_shapes)]
    for head, logits, features in zip(network.seg_layers, output.logits, reversed(output.decoder), strict=True):
        assert torch.equal(head(features), logits)
    x, skips = torch.randn(1, 4, *size), []
    for stage in network.encoder:
        x = stage(x)
        skips.append(x)
    deepest: Any = network.decoder[0]
    assert x.shape[1:] == (channels, *space)
    assert deepest(x, skips[-2]).shape[1:] == output.decoder[0].shape[1:]


@pytest.mark.parametrize("name", EVERY)
def test_logits_are_those_of_the_full_size_head_in_both_modes(name: str) -> None:
    network = randomised(small(name, deep_supervision=True))
    image = torch.randn(1, 4, *PATCH)
    with torch.no_grad():
        for mode in (True, False):
            network.train(mode)
            assert torch.equal(network(image), network.forward_features(image).logits[0])


@pytest.mark.parametrize("name", EVERY)
def test_inputs_that_do_not_fit_are_refused(name: str) -> None:
    network = small(name)
    assert network.divisor == (4, 4, 4)
    with pytest.raises(PedsegError, match="axis x has 18, not a multiple of 4; pad it"):
        network(torch.zeros(1, 4, 16, 16, 18))


@pytest.mark.parametrize("name", EVERY)
def test_every_loss_of_the_output_reaches_the_bottleneck(name: str) -> None:
    network = randomised(small(name))
    output = network.forward_features(torch.randn(1, 4, *PATCH))
    (gradient,) = torch.autograd.grad(output.logits[0].square().mean(), output.bottleneck, retain_graph=True)
    assert gradient.any()
    (own,) = torch.autograd.grad(output.bottleneck.square().mean(), next(network.encoder.parameters()))
    assert own.any()


@pytest.mark.parametrize("name", EVERY)
def test_gradients_agree_between_layouts(name: str) -> None:
    """One channels-last sample is where torch 2.13's own instance norm goes wrong."""
    network = randomised(small(name))
    image = torch.randn(1, 4, *PATCH)
    gradients = []
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        network.to(memory_format=layout).zero_grad()  # type: ignore[call-overload]
        network(image.contiguous(memory_format=layout)).square().mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5 * float(gradients[0].abs().max()), rtol=1e-3)


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("name", EVERY)
def test_parts_hold_every_parameter_once(name: str, norm: str) -> None:
    network = small(name, norm=norm, deep_supervision=True)
    parts = network.parts()
    assert tuple(parts) == PARTS
    ids = [id(parameter) for part in parts.values() for parameter in part]
    assert sorted(ids) == sorted(id(parameter) for parameter in network.parameters())
    names = {name.split(".")[0] for name in network.state_dict()}
    assert names == set(parts)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("sizes", [(1, 2), (2, 1, 1), (4,)])
def test_outputs_of_parts_join_to_that_of_the_whole(name: str, sizes: tuple[int, ...]) -> None:
    """With instance norms, which normalise each sample by itself."""
    network = randomised(small(name, deep_supervision=True))
    image = torch.randn(sum(sizes), 4, *PATCH)
    parts = [network.forward_features(part) for part in torch.split(image, list(sizes))]
    found, whole = joined(parts), network.forward_features(image)
    assert (len(found.logits), len(found.decoder)) == (len(whole.logits), len(whole.decoder)) == (2, 2)
    for own, wanted in zip(
        [*found.logits, *found.decoder, found.bottleneck],
        [*whole.logits, *whole.decoder, whole.bottleneck],
        strict=True,
    ):
        torch.testing.assert_close(own, wanted, atol=1e-5 * float(wanted.detach().abs().max()), rtol=0)
    if len(sizes) == 1:
        assert found is parts[0]


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_settings_rebuild_the_network(name: str, settings: dict[str, Any]) -> None:
    network = small(name, **settings).eval()
    read = json.loads(json.dumps(network.settings))
    assert read == network.settings
    again = rebuild(read).eval()
    assert type(again) is KINDS[name]
    again.load_state_dict(network.state_dict())
    image = torch.randn(1, 4, *PATCH)
    with torch.no_grad():
        assert torch.equal(again(image), network(image))


@pytest.mark.parametrize("name", EVERY)
def test_a_plan_gives_the_same_stages_for_another_patch(name: str) -> None:
    network = small(name, patch=(32, 32, 32))
    other = small(name, patch=(32, 32, 64), **network.plan)
    assert other.topology == network.topology


def test_files_without_a_name_hold_the_first_kind() -> None:
    settings = small("unet").settings
    del settings["name"]
    assert rebuild(settings).name == "unet"


@pytest.mark.parametrize("name", ["swin", "pedseg.networks.UNet", "os.system", ["unet"], None])
def test_names_choose_among_the_kinds_alone(name: object) -> None:
    """A checkpoint that is opened imports nothing that it names."""
    with pytest.raises(PedsegError, match=r"network\.name=.* is unknown; (there are|did you mean) .*"):
        rebuild({**small("unet").settings, "name": name})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "u-net"}, r"model\.name=u-net is unknown; did you mean unet"),
        ({"base_feature": 4}, r"model\.base_feature is unknown; did you mean base_features\?"),
        ({"norm": "layer"}, r"model\.norm='layer': should be 'instance' or 'batch'"),
        ({"deep_supervision": "perhaps"}, r"model\.deep_supervision='perhaps'"),
    ],
)
def test_mistakes_name_their_key(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PedsegError, match=message):
        build({"name": "unet", **settings}, patch_size=PATCH, spacing_mm=(1, 1, 1))


def test_every_kind_has_a_file() -> None:
    files = (conf_dir() / "model").glob("*.yaml")
    named = {line.split()[1] for path in files for line in path.read_text().splitlines() if "name: " in line}
    assert named == set(KINDS)
