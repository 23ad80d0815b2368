"""The target goes through the network where something is read of it, and nothing changes where it does not."""

from typing import Any

import pytest
import torch
from torch import Tensor

from pedseg.modules import AdaptationModule, OpposedModule
from pedseg.networks import SegmentationNetwork
from tests.methods import METHODS, combined, method, small, step

SPARING = ("fourier", "histogram", "strong", "mean_teacher", "class_ratio")


def given(network: SegmentationNetwork) -> list[int]:
    """Samples of every batch of images that the network will be given for the segmentation."""
    sizes: list[int] = []
    forward = network.forward_features

    def noted(images: Tensor) -> Any:
        sizes.append(len(images))
        return forward(images)

    network.forward_features = noted  # type: ignore[method-assign, assignment]
    return sizes


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("names", [*((name,) for name in METHODS), SPARING, (*SPARING, "prior")], ids="+".join)
def test_who_reads_the_target(make_batch: Any, names: tuple[str, ...], norm: Any) -> None:
    """With batch norms the target acts on their statistics, so it is always given."""
    network = small(norm=norm)
    sizes = given(network)
    step(combined(network, names), make_batch(source=1, target=2))
    assert sizes == [1 if norm == "instance" and set(names) <= set(SPARING) else 3]


@pytest.mark.parametrize("names", [*((name,) for name in SPARING), SPARING], ids="+".join)
def test_the_step_is_the_same_without(make_batch: Any, names: tuple[str, ...]) -> None:
    """Loss and gradients, up to the rounding of convolutions of other batches."""
    batch = make_batch(source=2, target=2)
    results = []
    for reads in (False, True):
        module = combined(small(), names)
        for one in module._methods():
            one.reads_target = reads
        loss = step(module, batch)
        torch.autograd.backward(loss)
        results.append([loss.detach(), *(p.grad for p in module.parameters() if p.grad is not None)])
    assert len(results[0]) == len(results[1]) > 20
    for spared, whole in zip(*results, strict=True):
        torch.testing.assert_close(spared, whole, atol=1e-6, rtol=1e-5)


def test_a_target_alone_is_given(make_batch: Any) -> None:
    """Every weight takes part in every step, as distributed training expects."""
    network = small()
    sizes = given(network)
    module = combined(network, SPARING)
    torch.autograd.backward(step(module, make_batch(source=0, target=2)))
    assert sizes == [2]
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_two_labelled_sides_are_given(make_batch: Any) -> None:
    network = small()
    sizes = given(network)
    plain = combined(network, ["strong"])
    module = OpposedModule(
        network=network,
        methods={"strong": method("strong")},
        optimizer=plain.make_optimizer,
        lr_schedule=plain.lr_schedule,
    )
    both = make_batch(source=1)
    assert isinstance(module, AdaptationModule)
    step(module, {"source": both["source"], "target": both["source"]})
    assert sizes == [2]
