"""What is promised of every method, alone and with all the others, in real fits.

No target label reaches the weights, the segmentation loss has no gradient at a target image, a resumed run equals one
that was never stopped.
"""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch.optim import SGD
from torch.utils.data import DataLoader

from pedseg.adaptation import DomainAdversary, MeanTeacher
from pedseg.modules import SegmentationModule
from pedseg.schedules import poly_decay
from tests.methods import (
    EVERY,
    METHODS,
    TOGETHER,
    assert_labels_change_no_bit,
    assert_no_gradient_of_the_segmentation,
    assert_resumes_exactly,
    combined,
    first_convolution,
    fresh,
    method,
    small,
    step,
)


@pytest.mark.parametrize("names", [*((name,) for name in EVERY), *(names for _, names in TOGETHER)], ids="+".join)
def test_labels_of_the_target_change_no_bit(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert_labels_change_no_bit(lambda: fresh(names), tmp_path)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("layout", [False, True])
def test_no_method_lets_the_segmentation_loss_reach_the_target(name: str, layout: bool) -> None:
    norm = "batch" if name not in METHODS else "instance"
    assert_no_gradient_of_the_segmentation(lambda: combined(small(norm=norm), [name], channels_last=layout))


@pytest.mark.parametrize("name", EVERY)
def test_a_resumed_run_of_a_method_equals_an_uninterrupted_one(tmp_path: Path, name: str) -> None:
    assert_resumes_exactly(lambda: fresh([name]), tmp_path)


@pytest.mark.parametrize(("norm", "names"), TOGETHER)
def test_a_resumed_run_of_all_methods_equals_an_uninterrupted_one(
    tmp_path: Path, norm: Any, names: tuple[str, ...]
) -> None:
    """Teachers and counters too."""
    whole = assert_resumes_exactly(lambda: combined(small(norm=norm), names), tmp_path)
    state = whole.state_dict()
    (teacher,) = (name for name, method in whole.methods.items() if isinstance(method, MeanTeacher))
    (adversary, *_) = (name for name, method in whole.methods.items() if isinstance(method, DomainAdversary))
    assert any(name.startswith(f"methods.{teacher}.teacher.encoder") for name in state)
    assert state[f"methods.{teacher}.steps"].item() == 8
    assert state.get(f"methods.{teacher}.shares.seen", torch.tensor(8)).item() == 8
    assert state[f"methods.{adversary}.reversal.alpha"].item() == pytest.approx(3.0)


def test_a_method_that_needs_no_target_trains_without_one(make_batch: Any, fit: Any) -> None:
    """Others wait for a target; but for the adversary, who has a source to tell."""
    batches = [make_batch(source=2, seed=s) for s in (1, 2)]
    waiting = [name for name in METHODS if name != "strong" and not isinstance(method(name), DomainAdversary)]
    assert len(waiting) > 3
    strong, idle, plain = fresh(["strong"]), fresh(["strong", *waiting]), small()
    optimizer = partial(SGD, lr=0.01, momentum=0.99, nesterov=True)
    for module in (strong, idle, SegmentationModule(network=plain, optimizer=optimizer, lr_schedule=poly_decay)):
        fit(module, batches)
    assert not torch.equal(first_convolution(strong.network), first_convolution(plain))
    for own, other in zip(idle.network.parameters(), strong.network.parameters(), strict=True):
        assert torch.equal(own, other)


@pytest.mark.parametrize(("norm", "names"), TOGETHER)
@pytest.mark.parametrize(("source", "target"), [(1, 0), (0, 1), (2, 1)])
def test_all_methods_with_unequal_and_missing_sides(
    make_batch: Any, source: int, target: int, norm: Any, names: tuple[str, ...]
) -> None:
    module = combined(small(norm=norm), names)
    torch.autograd.backward(step(module, make_batch(source=source, target=target)))
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(("norm", "names"), TOGETHER)
def test_all_methods_in_mixed_precision_and_channels_last(
    make_batch: Any, tmp_path: Path, norm: Any, names: tuple[str, ...]
) -> None:
    module = combined(small(norm=norm), names, channels_last=True)
    before = first_convolution(module.network).detach().clone()
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", precision="bf16-mixed", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path, gradient_clip_val=12,
    )  # fmt: skip
    batches = [make_batch(source=1, target=1, seed=s) for s in (1, 2)]
    trainer.fit(module, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    assert all(parameter.isfinite().all() for parameter in module.parameters())
    assert all(value.isfinite() for value in trainer.callback_metrics.values())
    assert not torch.equal(first_convolution(module.network), before)
    assert {"train/loss_consistency", "train/loss_domain"} <= set(trainer.callback_metrics)
    (teacher,) = (one.get_submodule("teacher") for one in module.methods.values() if isinstance(one, MeanTeacher))
    assert all(parameter.dtype == torch.float32 for parameter in teacher.parameters())
    trained = {id(parameter) for group in trainer.optimizers[0].param_groups for parameter in group["params"]}
    assert trained == {id(parameter) for parameter in module.parameters() if parameter.requires_grad}
    assert not trained & {id(parameter) for parameter in teacher.parameters()}
