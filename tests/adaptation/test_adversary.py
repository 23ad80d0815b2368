"""The adversary's variants: what the classifiers read, and the gradients that come back."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pedseg.adaptation import DomainAdversary
from pedseg.adaptation.adversary import conditioned
from pedseg.errors import PedsegError
from pedseg.labels import Domain
from pedseg.losses import self_information
from pedseg.networks import DomainClassifier
from tests.adaptation.steps import MakeStep, brainy, made

ALPHA, LAMBDA = 0.7, 0.3
SIDES = {Domain.SOURCE: brainy(1), Domain.TARGET: brainy(2)}
DOMAIN = torch.tensor([0, 1, 1])


def classifier(channels: int, size: int, *, pooling: Any = "average") -> DomainClassifier:
    torch.manual_seed(channels)
    return DomainClassifier(in_channels=channels, input_size=(size,) * 3, channels=5, blocks=2, pooling=pooling)


def adversary(classifiers: dict[int, DomainClassifier], **settings: Any) -> DomainAdversary:
    """One of these classifiers, which `start` would build for a network."""
    method = DomainAdversary(alpha_max=ALPHA, lambda_domain=LAMBDA, alpha_start=-1.0, alpha_end=0.0, **settings)
    method.classifiers.update({str(stage): own for stage, own in classifiers.items()})
    assert method.start_epoch(0.0) == {"alpha": ALPHA}
    return method


def output() -> dict[str, Any]:
    """Feature maps of a bottleneck and two decoder stages."""
    torch.manual_seed(1)
    return {
        "bottleneck": torch.randn(3, 6, 4, 4, 4, requires_grad=True),
        "decoder": [torch.randn(3, 4, 8, 8, 8, requires_grad=True), torch.randn(3, 2, 16, 16, 16, requires_grad=True)],
    }


def logits() -> Tensor:
    return torch.randn(3, 3, 16, 16, 16, generator=torch.Generator().manual_seed(2)).requires_grad_()


def loss_of(method: DomainAdversary, make_step: MakeStep, prediction: Tensor, **parts: Any) -> tuple[Tensor, Any]:
    step, logged = make_step(SIDES, prediction, **parts)
    return method.loss(step), logged


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_conditioning_is_the_outer_product_of_features_and_probabilities(layout: torch.memory_format) -> None:
    features = torch.randn(2, 5, 4, 4, 4).contiguous(memory_format=layout)
    prediction = torch.randn(2, 3, 8, 8, 8)
    probability = prediction.sigmoid().view(2, 3, 4, 2, 4, 2, 4, 2).mean((3, 5, 7))
    outcomes = torch.cat([1 - probability[:, :1], probability], 1)
    expected = torch.einsum("bkdhw,bcdhw->bkcdhw", outcomes, features).flatten(1, 2)
    mapped = conditioned(features, prediction)
    torch.testing.assert_close(mapped, expected)
    assert mapped.is_contiguous(memory_format=layout)
    assert conditioned(features.bfloat16(), prediction).dtype == torch.bfloat16


def test_features_get_the_reversed_gradient_and_classifiers_the_plain_one(make_step: MakeStep) -> None:
    own = classifier(4, 8)
    parts = output()
    features = parts["decoder"][0]
    expected = LAMBDA * F.cross_entropy(own(features), DOMAIN)
    wanted = torch.autograd.grad(expected, [features, *own.parameters()])
    loss, logged = loss_of(adversary({1: own}), make_step, logits(), **parts)
    got = torch.autograd.grad(loss, [features, *own.parameters()])
    assert float(loss.detach()) == pytest.approx(float(expected.detach()))
    assert logged["loss_domain"] == (pytest.approx(float(expected.detach()) / LAMBDA), 3)
    torch.testing.assert_close(got[0], -ALPHA * wanted[0])
    torch.testing.assert_close(got[1:], wanted[1:])


def test_conditioned_features_move_and_the_prediction_does_not(make_step: MakeStep) -> None:
    own = classifier(16, 8)
    parts, prediction = output(), logits()
    features = parts["decoder"][0]
    inputs = conditioned(features, prediction)
    (wanted,) = torch.autograd.grad(LAMBDA * F.cross_entropy(own(inputs), DOMAIN), features)
    loss, _ = loss_of(adversary({1: own}, reads="conditioned"), make_step, prediction, **parts)
    got, through_prediction = torch.autograd.grad(loss, [features, prediction], allow_unused=True)
    torch.testing.assert_close(got, -ALPHA * wanted)
    assert through_prediction is None
    assert wanted.any()


def test_entropy_of_the_prediction_gets_the_reversed_gradient(make_step: MakeStep) -> None:
    own = classifier(6, 16)
    prediction = logits()
    (wanted,) = torch.autograd.grad(LAMBDA * F.cross_entropy(own(self_information(prediction)), DOMAIN), prediction)
    loss, _ = loss_of(adversary({1: own}, reads="entropy"), make_step, prediction, **output())
    (got,) = torch.autograd.grad(loss, prediction)
    torch.testing.assert_close(got, -ALPHA * wanted)
    assert wanted.any()


def test_several_classifiers_share_the_loss(make_step: MakeStep) -> None:
    owns = {0: classifier(6, 4), 1: classifier(4, 8), 2: classifier(2, 16)}
    parts = output()
    stages = [parts["bottleneck"], *parts["decoder"]]
    losses = [F.cross_entropy(owns[stage](features), DOMAIN) for stage, features in enumerate(stages)]
    wanted = torch.autograd.grad(LAMBDA / 3 * sum(losses), stages)  # type: ignore[arg-type]
    method = adversary(owns)
    loss, logged = loss_of(method, make_step, logits(), **parts)
    torch.testing.assert_close(loss, LAMBDA / 3 * sum(losses))
    torch.testing.assert_close(torch.autograd.grad(loss, stages), tuple(-ALPHA * w for w in wanted))
    correct = [(owns[stage](features).argmax(1) == DOMAIN).float() for stage, features in enumerate(stages)]
    by_sample = torch.stack(correct).mean(0)
    assert logged["domain_accuracy"] == (pytest.approx(float(by_sample.mean())), 3)
    assert logged["source/domain_accuracy"] == (pytest.approx(float(by_sample[0])), 1)
    assert logged["target/domain_accuracy"] == (pytest.approx(float(by_sample[1:].mean())), 2)
    assert list(method.description()["classifiers"]) == ["0", "1", "2"]


def test_every_place_votes_without_pooling(make_step: MakeStep) -> None:
    own = classifier(4, 8, pooling="none")
    parts = output()
    votes = own(parts["decoder"][0])
    assert votes.shape == (3, 2, 2, 2, 2)
    by_place = [
        F.cross_entropy(votes[:, :, z, y, x], DOMAIN) for z, y, x in torch.cartesian_prod(*[torch.arange(2)] * 3)
    ]
    right = (votes.argmax(1) == DOMAIN.view(3, 1, 1, 1)).float().mean((1, 2, 3))
    loss, logged = loss_of(adversary({1: own}), make_step, logits(), **parts)
    torch.testing.assert_close(loss, LAMBDA * torch.stack(by_place).mean())
    assert logged["domain_accuracy"][0] == pytest.approx(float(right.mean()))
    assert logged["target/domain_accuracy"] == (pytest.approx(float(right[1:].mean())), 2)


@pytest.mark.parametrize("reads", ["features", "conditioned", "entropy"])
def test_gradient_norms_where_both_terms_meet(make_step: MakeStep, reads: Any) -> None:
    """At the shallowest of two stages, or at the prediction: what other terms send and what the reversed one sends."""
    if reads == "entropy":
        owns = {1: classifier(6, 16)}
    else:
        factor = 4 if reads == "conditioned" else 1
        owns = {2: classifier(2 * factor, 16), 0: classifier(6 * factor, 4)}
    method = adversary(owns, reads=reads)
    parts, prediction = output(), logits()
    meeting = prediction if reads == "entropy" else parts["decoder"][1]
    own, watched = owns[1 if reads == "entropy" else 2], meeting.detach().requires_grad_()
    inputs = watched
    if reads != "features":
        inputs = self_information(watched) if reads == "entropy" else conditioned(watched, prediction)
    domain = F.cross_entropy(own(inputs), DOMAIN) * LAMBDA / len(owns)
    wanted = ALPHA * torch.autograd.grad(domain, watched)[0].norm()
    loss, _ = loss_of(method, make_step, prediction, watched=True, **parts)
    torch.autograd.backward(loss + (3 * meeting).square().mean())
    assert method.gradient_norms["domain"].item() == pytest.approx(wanted.item(), rel=1e-4)
    expected = (18 * meeting / meeting.numel()).norm().item()
    assert method.gradient_norms["seg"].item() == pytest.approx(expected, rel=1e-4)


def test_mixed_precision_keeps_the_loss_in_float32(make_step: MakeStep) -> None:
    for reads, channels, size in (("features", 4, 8), ("conditioned", 16, 8), ("entropy", 6, 16)):
        parts = output()
        half = {"bottleneck": parts["bottleneck"], "decoder": [d.bfloat16() for d in parts["decoder"]]}
        prediction = logits()
        method = adversary({1: classifier(channels, size)}, reads=reads)
        with torch.autocast("cpu", torch.bfloat16):
            loss, _ = loss_of(method, make_step, prediction.bfloat16(), **half)
        assert loss.dtype == torch.float32
        read = prediction if reads == "entropy" else parts["decoder"][0]
        (gradient,) = torch.autograd.grad(loss, read)
        assert gradient.isfinite().all()
        assert gradient.any()


@pytest.mark.parametrize("domain", list(Domain))
def test_one_sample_of_one_side(make_step: MakeStep, domain: Domain) -> None:
    parts = output()
    alone = [d[:1] for d in parts["decoder"]]
    step, logged = make_step({domain: brainy(1)}, logits()[:1], decoder=alone)
    loss = adversary({1: classifier(4, 8)}).loss(step)
    assert loss.isfinite()
    assert f"{domain}/domain_accuracy" in logged
    assert len([name for name in logged if name.endswith("/domain_accuracy")]) == 1


def test_bad_settings_are_refused() -> None:
    right = {"alpha_max": 3, "lambda_domain": 0.01}
    for settings, message in (
        ({"decoder_stage": []}, r"m\.decoder_stage=\[\]: .* at least 1 item"),
        ({"decoder_stage": [1, 2], "reads": "entropy"}, r"m\.decoder_stage=\[1, 2\]: reads=entropy has one input"),
        ({"decoder_stage": True}, r"m\.decoder_stage\.0=True: give a number"),
        ({"alpha_max": -1}, r"m\.alpha_max=-1: should be greater than or equal to 0"),
        ({"lambda_domain": -0.1}, r"m\.lambda_domain=-0\.1"),
        ({"alpha_start": 0.7}, r"m\.alpha_start=0\.7: the rise ends at alpha_end=0\.7"),
        ({"reads": "images"}, r"m\.reads='images': should be 'features', 'conditioned' or 'entropy'"),
        ({"classifier": {"chanels": 3}}, r"m\.classifier\.chanels is unknown; did you mean channels"),
        ({"classifier": {"blocks": 0}}, r"m\.classifier\.blocks=0"),
    ):
        with pytest.raises(PedsegError, match=message):
            made(DomainAdversary, **{**right, **settings})
