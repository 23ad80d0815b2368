"""The supervised control with two labelled sides: its loss by hand, beside that of an adaptation."""

from functools import partial
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.optim import SGD

from pedseg.adaptation import Method
from pedseg.losses import DiceBCELoss
from pedseg.modules import AdaptationModule, OpposedModule
from pedseg.networks import UNet
from pedseg.schedules import constant


class Watching(Method):
    """Takes no part and notes what it is shown."""

    seen: tuple[list[str], list[int]] = ([], [])

    def loss(self, step: Any) -> Tensor | None:
        self.seen = [str(domain) for domain in step.images], step.domain.tolist()
        return None


@pytest.fixture
def opposed_batch(make_batch: Any) -> Any:
    """Two labelled sides."""
    batch, other = make_batch(source=2, target=1, seed=1), make_batch(source=1, seed=2)
    return batch | {"target": batch["target"] | {"label": other["source"]["label"]}}


def step(module: AdaptationModule, batch: Any) -> tuple[Tensor, dict[str, Any]]:
    """Loss of a training step outside a trainer's loop, and what it logs."""
    logged: dict[str, Any] = {}
    module.trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False, enable_progress_bar=False)
    module.log_mean = lambda name, value, *, samples: logged.update({name: (value.item(), samples)})  # type: ignore[method-assign]
    return module.training_step(batch, 0), logged


def module(kind: type[AdaptationModule], network: UNet) -> AdaptationModule:
    optimizer = partial(SGD, lr=0.01)
    return kind(network=network, methods={"watching": Watching()}, optimizer=optimizer, lr_schedule=constant)


def test_the_loss_is_that_of_both_sides(network: UNet, opposed_batch: Any) -> None:
    training = module(OpposedModule, network)
    loss, logged = step(training, opposed_batch)
    logits = network(torch.cat([opposed_batch[side]["image"] for side in ("source", "target")]))
    parts = [  # nnU-Net's Dice is of each sample, so that the loss of the whole is the mean over the samples
        DiceBCELoss()(logits[:2], opposed_batch["source"]["label"]).item(),
        DiceBCELoss()(logits[2:], opposed_batch["target"]["label"]).item(),
    ]
    assert loss.item() == pytest.approx((2 * parts[0] + parts[1]) / 3, rel=1e-5)
    assert logged["train/loss_seg"] == (pytest.approx(loss.item()), 3)
    watching = training.methods["watching"]
    assert isinstance(watching, Watching)
    assert watching.seen == (["source", "target"], [0, 0, 1])
    adapting, seen = step(module(AdaptationModule, network), opposed_batch)
    assert adapting.item() == pytest.approx(parts[0], rel=1e-5)
    assert seen["train/loss_seg"][1] == 2


def test_labels_of_both_sides_act_on_every_weight(network: UNet, opposed_batch: Any) -> None:
    gradients = []
    for change in (None, "source", "target"):
        batch = dict(opposed_batch)
        if change:
            batch[change] = batch[change] | {"label": 1 - batch[change]["label"]}
        network.zero_grad()
        torch.autograd.backward(step(module(OpposedModule, network), batch)[0])
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
    assert not torch.equal(gradients[0], gradients[1])
    assert not torch.equal(gradients[0], gradients[2])


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_side_that_is_absent_contributes_nothing(network: UNet, opposed_batch: Any, side: str) -> None:
    alone = {side: opposed_batch[side]}
    loss, logged = step(module(OpposedModule, network), alone)
    wanted = DiceBCELoss()(network(alone[side]["image"]), alone[side]["label"])
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-6)
    assert logged["train/loss_seg"][1] == len(alone[side]["image"])


def test_an_unlabelled_side_is_no_opposed_one(network: UNet, make_batch: Any) -> None:
    with pytest.raises(KeyError, match="label"):
        step(module(OpposedModule, network), make_batch(source=1, target=1))
