"""The adversarial step against one written out by hand, and its promises about the target."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD

from pedseg.adaptation import DomainAdversary
from pedseg.adaptation.adversary import Classifier
from pedseg.errors import PedsegError
from pedseg.losses import DiceBCELoss
from pedseg.modules import AdaptationModule
from pedseg.networks import DomainClassifier, UNet, rebuild
from pedseg.schedules import constant, linear_ramp, poly_decay

STAGE = 1
ALPHA = 0.7
LAMBDA = 0.3
TO_ALPHA = partial(linear_ramp, start=-1, end=1 / ALPHA - 1, maximum=1)  # ALPHA at progress 0


def adaptation(
    network: UNet,
    optimizer: Any,
    *,
    classifier: Classifier | None = None,
    alpha_schedule: Any = TO_ALPHA,
    lambda_domain: float = LAMBDA,
    lr_schedule: Any = constant,
    **settings: Any,
) -> AdaptationModule:
    torch.manual_seed(5)
    adversary = DomainAdversary(
        alpha_max=ALPHA,
        lambda_domain=lambda_domain,
        decoder_stage=[STAGE],
        classifier=classifier or Classifier(channels=20, blocks=2),
    )
    adversary.alpha_schedule = alpha_schedule
    return AdaptationModule(
        network=network, methods={"dann": adversary}, optimizer=optimizer, lr_schedule=lr_schedule, **settings
    )


def dann(module: AdaptationModule) -> DomainAdversary:
    method = module.methods["dann"]
    assert isinstance(method, DomainAdversary)
    return method


def classifier_of(module: AdaptationModule) -> DomainClassifier:
    classifier = dann(module).classifiers[str(STAGE)]
    assert isinstance(classifier, DomainClassifier)
    return classifier


def clone(module: nn.Module) -> Any:
    settings: Any = module.settings
    copy = rebuild(settings) if isinstance(module, UNet) else type(module)(**settings)
    copy.load_state_dict(module.state_dict())
    return copy


def gradients_by_hand(
    network: UNet, classifier: DomainClassifier, batch: Any, *, alpha: float
) -> tuple[list[Tensor], list[Tensor], dict[str, float]]:
    """Gradients without a reversal layer: those of L_seg minus alpha times those of lambda L_d, for the network."""
    source, target = batch["source"]["image"], batch["target"]["image"]
    output = network.forward_features(torch.cat([source, target]))
    loss_seg = DiceBCELoss()(output.logits[0][: len(source)], batch["source"]["label"])
    features = output.decoder[STAGE - 1]
    domain = torch.tensor([0] * len(source) + [1] * len(target))
    loss_domain = LAMBDA * F.cross_entropy(classifier(features), domain)
    weights = list(network.parameters())
    seg = torch.autograd.grad(loss_seg, weights, retain_graph=True, materialize_grads=True)
    adverse = torch.autograd.grad(loss_domain, weights, retain_graph=True, materialize_grads=True)
    (seg_stage,) = torch.autograd.grad(loss_seg, features, retain_graph=True)
    (domain_stage,) = torch.autograd.grad(loss_domain, features, retain_graph=True)
    norms = {"seg": seg_stage.norm().item(), "domain": alpha * domain_stage.norm().item()}
    own = torch.autograd.grad(loss_domain, list(classifier.parameters()))
    return [s - alpha * d for s, d in zip(seg, adverse, strict=True)], list(own), norms


def step(module: AdaptationModule, batch: Any) -> Tensor:
    """One training step's loss outside a trainer's loop."""
    module.trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False, enable_progress_bar=False)
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    dann(module).reversal.set_alpha(ALPHA)
    return module.training_step(batch, 0)


def test_gradients_equal_those_by_hand(network: UNet, sgd: partial[SGD], make_batch: Any) -> None:
    batch = make_batch(source=2, target=2)
    module = adaptation(network, sgd)
    ours, theirs, norms = gradients_by_hand(clone(network), clone(classifier_of(module)), batch, alpha=ALPHA)
    torch.autograd.backward(step(module, batch))
    assert norms["domain"] > 0
    for parameter, expected in zip(network.parameters(), ours, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, expected, atol=1e-6, rtol=1e-4)
    for parameter, expected in zip(classifier_of(module).parameters(), theirs, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, expected, atol=1e-6, rtol=1e-4)
    assert dann(module).gradient_norms["seg"].item() == pytest.approx(norms["seg"], rel=1e-4)
    assert dann(module).gradient_norms["domain"].item() == pytest.approx(norms["domain"], rel=1e-4)


def test_weights_equal_a_loop_by_hand(network: UNet, sgd: partial[SGD], make_batch: Any, fit: Any) -> None:
    """Two steps of two epochs, so that momentum, schedules and the order of parameters matter."""
    batches = [make_batch(source=2, target=2, seed=s) for s in (1, 2)]
    ramp = partial(linear_ramp, start=0, end=0.5, maximum=2)  # alpha 0, then 2
    module = adaptation(network, sgd, alpha_schedule=ramp, lr_schedule=poly_decay)
    backbone, classifier = clone(network), clone(classifier_of(module))
    weights = [*backbone.parameters(), *classifier.parameters()]
    optimizer = sgd(weights)
    for epoch, alpha in ((0, 0.0), (1, 2.0)):
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - epoch / 2) ** 0.9
        for batch in batches:
            ours, theirs, _ = gradients_by_hand(backbone, classifier, batch, alpha=alpha)
            for weight, gradient in zip(weights, [*ours, *theirs], strict=True):
                weight.grad = gradient
            optimizer.step()
    fit(module, batches, epochs=2)
    assert dann(module).reversal.alpha.item() == 2.0
    trained = [*network.parameters(), *classifier_of(module).parameters()]
    for own, expected in zip(trained, weights, strict=True):
        torch.testing.assert_close(own, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("layout", [False, True])
def test_target_has_no_gradient_of_the_segmentation_loss(
    network: UNet, sgd: partial[SGD], make_batch: Any, layout: bool
) -> None:
    batch = make_batch(source=2, target=2)
    target, source = (batch[side]["image"].requires_grad_() for side in ("target", "source"))
    module = adaptation(network, sgd, lambda_domain=0.0, channels_last=layout)
    torch.autograd.backward(step(module, batch))
    assert torch.equal(target.grad, torch.zeros_like(target))
    assert source.grad.any()


def test_the_target_does_reach_the_domain_loss(network: UNet, sgd: partial[SGD], make_batch: Any) -> None:
    batch = make_batch(source=1, target=1)
    target = batch["target"]["image"].requires_grad_()
    torch.autograd.backward(step(adaptation(network, sgd), batch))
    assert target.grad.any()


def test_alpha_zero_trains_the_network_as_if_alone(network: UNet, sgd: partial[SGD], make_batch: Any, fit: Any) -> None:
    batch = make_batch(source=2, target=2)
    module = adaptation(network, sgd, alpha_schedule=partial(linear_ramp, start=2, end=3, maximum=3))
    alone = clone(network)
    DiceBCELoss()(alone(batch["source"]["image"]), batch["source"]["label"]).backward()
    fit(module, [batch], epochs=1)
    optimizer = sgd(alone.parameters())
    optimizer.step()
    for own, expected in zip(network.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(own, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("source", "target"), [(1, 0), (0, 1), (2, 1)])
def test_unequal_and_missing_sides(network: UNet, sgd: partial[SGD], make_batch: Any, source: int, target: int) -> None:
    module = adaptation(network, sgd)
    torch.autograd.backward(step(module, make_batch(source=source, target=target)))
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    head = network.seg_layers[0].conv.conv.weight.grad  # type: ignore[union-attr]
    assert bool(head.any()) is (source > 0)  # type: ignore[operator, union-attr]


def test_fit_logs_what_shows_the_adaptation(network: UNet, sgd: partial[SGD], make_batch: Any, fit: Any) -> None:
    batches = [make_batch(source=1), make_batch(source=0, target=1), make_batch(source=2, target=2)]
    trainer = fit(adaptation(network, sgd), batches, epochs=2, validation=[make_batch(seed=4)])
    text = (Path(str(trainer.logger.log_dir)) / "metrics.csv").read_text()
    names = set(text.splitlines()[0].split(","))
    wanted = {"loss", "loss_seg", "loss_domain", "domain_accuracy", "alpha", "gradient_seg", "gradient_domain"}
    wanted |= {"source/domain_accuracy", "target/domain_accuracy", "learning_rate"}
    assert {f"train/{name}" for name in wanted} <= names
    assert "val/source/dice_mean" in names


def test_frozen_parts_stay_while_the_classifier_learns(sgd: partial[SGD], make_batch: Any, fit: Any) -> None:
    torch.manual_seed(0)
    network = UNet(patch_size=(16,) * 3, base_features=4, norm="batch")
    module = adaptation(network, sgd, trainable_parts=["seg_layers"])
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    fit(module, [make_batch(source=1, target=1)], epochs=2)
    for name, tensor in module.state_dict().items():
        if name.startswith(("network.encoder", "network.decoder")):
            assert torch.equal(tensor, before[name]), name
    assert not torch.equal(
        classifier_of(module).output.weight, before[f"methods.dann.classifiers.{STAGE}.output.weight"]
    )


def test_checkpoint_describes_the_classifier_and_inference_does_not_run_it(
    network: UNet, sgd: partial[SGD], make_batch: Any, fit: Any, tmp_path: Path
) -> None:
    module = adaptation(network, sgd)
    trainer = fit(module, [make_batch(source=1, target=1)], epochs=1)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    described = checkpoint["pedseg"]["adaptation"]["dann"]
    assert (list(described["classifiers"]), described["lambda_domain"]) == ([str(STAGE)], LAMBDA)
    DomainClassifier(**described["classifiers"][str(STAGE)])
    assert "methods.dann.reversal.alpha" in checkpoint["state_dict"]
    classifier_of(module).forward = None  # type: ignore[assignment, method-assign]
    assert module(torch.zeros(1, 4, 16, 16, 16)).shape == (1, 3, 16, 16, 16)


def test_bad_settings_are_refused(network: UNet, sgd: partial[SGD]) -> None:
    with pytest.raises(PedsegError, match="adaptation without a method"):
        AdaptationModule(network=network, methods={}, optimizer=sgd, lr_schedule=constant)
    with pytest.raises(PedsegError, match=r"^adaptation\.dann\.decoder_stage=7: this network has 2"):
        AdaptationModule(
            network=network,
            methods={"dann": DomainAdversary(alpha_max=1.0, lambda_domain=0.1, decoder_stage=[7])},
            optimizer=sgd,
            lr_schedule=constant,
        )
