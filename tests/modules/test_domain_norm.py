"""Batch norms that know the domain, in training steps and fits: whose statistics act on what."""

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor
from torch.optim import SGD

from pedseg.adaptation import DomainNorm, Method, Step
from pedseg.errors import PedsegError
from pedseg.losses import DiceBCELoss
from pedseg.modules import AdaptationModule, SegmentationModule
from pedseg.networks import UNet
from pedseg.schedules import constant

OPTIMIZER = partial(SGD, lr=0.01, momentum=0.9)


class Seen(Method):
    """Takes no part, and keeps what the network made of the last step's images."""

    step: Step | None = None

    def loss(self, step: Step) -> Tensor | None:
        self.step = step
        return None


def normed(*, norm: Any = "batch") -> UNet:
    torch.manual_seed(0)
    network = UNet(patch_size=(16,) * 3, base_features=4, deep_supervision=True, norm=norm)
    if norm == "batch":
        with torch.no_grad():
            network(torch.randn(2, 4, 16, 16, 16))  # running statistics that are not 0 and 1
    return network


def module(network: UNet, *methods: Method) -> AdaptationModule:
    named = {type(method).__name__: method for method in methods}
    return AdaptationModule(network=network, methods=named, optimizer=OPTIMIZER, lr_schedule=constant)


def step(training: AdaptationModule, batch: Any) -> Tensor:
    """One training step's loss outside a trainer's loop."""
    training.trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False, enable_progress_bar=False)
    training.log = lambda *_, **__: None  # type: ignore[method-assign]
    return training.training_step(batch, 0)


def statistics(network: UNet) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in network.named_buffers()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first
    assert first.keys() == second.keys()
    assert [name for name, value in first.items() if not torch.equal(value, second[name])] == []


def source_step(batch: Any, *methods: Method) -> tuple[float, list[Tensor]]:
    """L_seg of a step and the gradients it gives the weights."""
    network = normed()
    loss = step(module(network, *methods), batch)
    torch.autograd.backward(loss)
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert len(gradients) == len(list(network.parameters()))
    return loss.item(), gradients


def test_each_side_is_normalised_by_its_own_batch(make_batch: Any) -> None:
    """As two forwards of copies; together the two sides give something else."""
    network, seen, batch = normed(), Seen(), make_batch(source=2, target=3)
    source, target = (copy.deepcopy(network).forward_features(batch[side]["image"]) for side in ("source", "target"))
    both = copy.deepcopy(network).forward_features(torch.cat([batch[side]["image"] for side in ("source", "target")]))
    step(module(network, DomainNorm(), seen), batch)
    assert seen.step is not None
    output = seen.step.output
    maps = [*output.logits, *output.decoder, output.bottleneck]
    for part in (slice(0, 2), slice(2, 5)):
        side = source if part.start == 0 else target
        for found, wanted in zip(maps, [*side.logits, *side.decoder, side.bottleneck], strict=True):
            assert len(found) == 5
            assert torch.equal(found[part], wanted)
    assert not torch.allclose(output.logits[0], both.logits[0], atol=1e-2)


def test_running_statistics_are_those_of_the_target_alone(make_batch: Any, fit: Any) -> None:
    """Step by step in a fit: a copy that is shown the target's batch only has the same ones afterwards."""
    wanted: list[dict[str, Tensor]] = []

    class Compare(Callback):
        def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
            del trainer, batch_idx
            alone = copy.deepcopy(pl_module.network)
            alone(batch["target"]["image"])
            wanted.append(statistics(alone))

        def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
            del trainer
            assert_same(statistics(pl_module.network), wanted[-1])

    network = normed()
    before = statistics(network)
    batches = [make_batch(source=2, target=1, seed=s) for s in (1, 2)]
    fit(module(network, DomainNorm()), batches, epochs=2, callbacks=[Compare()], validation=batches)
    assert len(wanted) == 4
    for name, value in statistics(network).items():
        if name.endswith("num_batches_tracked"):
            assert value == before[name] + 4
        elif name.endswith("running_var"):
            assert not torch.equal(value, before[name])


@pytest.mark.parametrize("scale", [0.0, 1.0, 50.0])
def test_no_target_image_changes_the_segmentation_loss_or_its_gradient(make_batch: Any, scale: float) -> None:
    """To the last bit, which shared batch norms do not promise: that is what separates them here."""
    batch = make_batch(source=2, target=2)
    other = batch | {"target": {"image": scale * batch["target"]["image"].flip(2) - 3}}
    alone = {"source": batch["source"]}
    loss, gradients = source_step(batch, DomainNorm())
    for changed in (other, alone):
        same, equal = source_step(changed, DomainNorm())
        assert same == loss
        assert all(torch.equal(a, b) for a, b in zip(gradients, equal, strict=True))
    shared, _ = source_step(batch, Seen())
    changed_shared, _ = source_step(other, Seen())
    assert shared != changed_shared
    assert shared != loss


def test_the_segmentation_loss_is_that_of_a_supervised_step(make_batch: Any) -> None:
    batch = make_batch(source=2, target=2)
    loss, gradients = source_step(batch, DomainNorm())
    network = normed()
    training = SegmentationModule(network=network, optimizer=OPTIMIZER, lr_schedule=constant, loss=DiceBCELoss())
    wanted = training.loss(network.forward_features(batch["source"]["image"]).logits, batch["source"]["label"])
    wanted.backward()
    assert loss == wanted.item()
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, gradient)


def trained(fit: Any, batches: Sequence[Any]) -> UNet:
    network = normed()
    fit(module(network, DomainNorm()), batches, epochs=2)
    return network


def test_a_fit_learns_weights_of_the_source_and_statistics_of_the_target(make_batch: Any, fit: Any) -> None:
    batches = [make_batch(source=1, target=2, seed=s) for s in (1, 2)]
    others = [batch | {"target": {"image": batch["target"]["image"].square()}} for batch in batches]
    first, second = trained(fit, batches), trained(fit, others)
    assert_same(dict(first.named_parameters()), dict(second.named_parameters()))
    assert not torch.equal(*(net.get_buffer("encoder.0.norm1.running_mean") for net in (first, second)))


def test_batches_of_the_source_alone_leave_the_statistics(make_batch: Any, fit: Any) -> None:
    """They train the weights, as a batch of the target alone moves the statistics and nothing else."""
    network = normed()
    before = statistics(network), {name: value.clone() for name, value in network.named_parameters()}
    fit(module(network, DomainNorm()), [make_batch(source=2)], epochs=2)
    assert_same(statistics(network), before[0])
    assert not torch.equal(
        network.get_parameter("encoder.0.conv1.conv.weight"), before[1]["encoder.0.conv1.conv.weight"]
    )


def test_batches_of_the_target_alone_leave_the_weights(make_batch: Any, fit: Any) -> None:
    network = normed()
    alone = copy.deepcopy(network)
    batch = make_batch(source=0, target=2)
    fit(module(network, DomainNorm()), [batch], epochs=2)
    for _ in range(2):
        alone(batch["target"]["image"])
    assert_same(statistics(network), statistics(alone))
    assert_same(dict(network.named_parameters()), dict(alone.named_parameters()))


def test_frozen_parts_keep_their_statistics(make_batch: Any, fit: Any) -> None:
    network = normed()
    before = statistics(network)
    training = AdaptationModule(
        network=network,
        methods={"norm": DomainNorm()},
        optimizer=OPTIMIZER,
        lr_schedule=constant,
        trainable_parts=["decoder", "seg_layers"],
    )
    fit(training, [make_batch(source=1, target=1)], epochs=2)
    for name, value in statistics(network).items():
        assert torch.equal(value, before[name]) is name.startswith("encoder"), name


def test_instance_norms_are_refused_before_training() -> None:
    with pytest.raises(PedsegError, match=r"give model\.norm=batch"):
        module(normed(norm="instance"), DomainNorm())


def test_predictions_meet_the_statistics_of_the_target(make_batch: Any, fit: Any) -> None:
    """After steps that change no weight a target patch is normalised as by its own batch, and a source patch is not."""
    network, batch = normed(), make_batch(source=2, target=2)
    training = AdaptationModule(
        network=network, methods={"norm": DomainNorm()}, optimizer=partial(SGD, lr=0.0), lr_schedule=constant
    )
    fit(training, [batch] * 60, epochs=1)  # the statistics from before weigh 0.9 ** 60
    distance = {}
    with torch.no_grad():
        for side, samples in batch.items():
            predicted, own = network.eval()(samples["image"]), copy.deepcopy(network).train()(samples["image"])
            distance[side] = (predicted - own).abs().mean().item()
    assert distance["target"] < 0.03  # running variances are the unbiased ones, 16 / 15 of the batch's where deepest
    assert distance["source"] > 10 * distance["target"]
