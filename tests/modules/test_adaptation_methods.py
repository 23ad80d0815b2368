"""What is promised of every method, alone and with all the others, in real fits.

No target label reaches the weights, the segmentation loss has no gradient at a target image, a resumed run equals one
that was never stopped.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor
from torch.optim import SGD
from torch.utils.data import DataLoader

from pedseg.adaptation import (
    DomainAdversary,
    DomainNorm,
    EntropyMinimisation,
    FourierStyle,
    HistogramStyle,
    MeanTeacher,
    Method,
    SizePrior,
    StrongAugmentation,
)
from pedseg.modules import AdaptationModule, SegmentationModule
from pedseg.networks import DomainClassifier, SegmentationNetwork, UNet
from pedseg.schedules import linear_ramp, poly_decay

STAGE = 1
RISING = partial(linear_ramp, start=-0.5, end=0.5, maximum=0.8)  # 0.4 at progress 0
METHODS = (  # of any network
    "fourier", "histogram", "strong", "dann", "conditioned", "advent", "mean_teacher", "class_ratio", "entropy",
    "prior",
)  # fmt: skip
EVERY = ("norm", *METHODS)  # of networks with batch norms
NETWORKS: tuple[tuple[Any, tuple[str, ...]], ...] = (("instance", METHODS), ("batch", METHODS), ("batch", EVERY))


def method(name: str, network: SegmentationNetwork) -> Method:
    """A method of its own random weights, which acts from the first step on."""
    torch.manual_seed(5)
    made: dict[str, Callable[[], Method]] = {
        "fourier": lambda: FourierStyle(probability=0.7, beta=0.1),
        "histogram": lambda: HistogramStyle(probability=0.7),
        "strong": StrongAugmentation,
        "mean_teacher": lambda: MeanTeacher(
            weight_schedule=RISING, decay=0.5, confidence=0.5, plausible={"et": (0, 0.9)}
        ),
        "class_ratio": lambda: MeanTeacher(
            weight_schedule=RISING, decay=0.5, confidence=0.6, shares={"wt": 0.4, "tc": 0.3, "et": 0.1}
        ),
        "norm": DomainNorm,
        "entropy": lambda: EntropyMinimisation(weight_schedule=RISING),
        "prior": lambda: SizePrior(bounds={"tc": (0.85, 1), "et": (0.05, 0.35)}, weight_schedule=RISING),
    }
    if name in made:
        return made[name]()
    channels, size = network.decoder_shapes[STAGE - 1] if name != "advent" else (6, (16, 16, 16))
    channels *= 4 if name == "conditioned" else 1
    classifier = DomainClassifier(in_channels=channels, input_size=size, channels=12, blocks=2, pooling="average")
    reads: Any = {"dann": "features", "conditioned": "conditioned", "advent": "entropy"}[name]
    return DomainAdversary(classifiers={STAGE: classifier}, alpha_schedule=RISING, lambda_domain=0.3, reads=reads)


def combined(network: SegmentationNetwork, names: Sequence[str] = METHODS, **settings: Any) -> AdaptationModule:
    """Train with several methods at once."""
    methods = {name: method(name, network) for name in names}
    return AdaptationModule(
        network=network,
        methods=methods,
        optimizer=partial(SGD, lr=0.01, momentum=0.99, nesterov=True),
        lr_schedule=poly_decay,
        **settings,
    )


def small(*, norm: Any = "instance") -> UNet:
    torch.manual_seed(0)
    return UNet(patch_size=(16,) * 3, base_features=4, deep_supervision=True, norm=norm)


def step(module: AdaptationModule, batch: Any) -> Tensor:
    """One training step's loss outside a trainer's loop."""
    module.trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False, enable_progress_bar=False)
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    for method in module._methods():
        method.start_epoch(0.0)
    return module.training_step(batch, 0)


def trained(fit: Any, batches: Sequence[Any], names: Sequence[str], **settings: Any) -> AdaptationModule:
    module = combined(small(norm="batch" if "norm" in names else "instance"), names, **settings)
    fit(module, batches, epochs=2)
    return module


def assert_same_bits(first: AdaptationModule, second: AdaptationModule) -> None:
    state = second.state_dict()
    for name, tensor in first.state_dict().items():
        torch.testing.assert_close(tensor, state[name], rtol=0, atol=0, equal_nan=True, msg=name)


@pytest.mark.parametrize("names", [*((name,) for name in EVERY), METHODS, EVERY], ids="+".join)
def test_labels_of_the_target_change_no_bit(make_batch: Any, fit: Any, names: tuple[str, ...]) -> None:
    """A batch that holds target labels, random or all tumour, trains as one that has none."""
    batches = [make_batch(source=1, target=2, seed=s) for s in (1, 2)]
    without = trained(fit, batches, names)
    for labels in (lambda shape: torch.rand(shape) > 0.5, torch.ones):
        labelled = []
        for batch in batches:
            image = batch["target"]["image"]
            labelled.append(batch | {"target": {"image": image, "label": labels((len(image), 3, 16, 16, 16)).float()}})
        assert_same_bits(trained(fit, labelled, names), without)
    changed = [batch | {"target": {"image": batch["target"]["image"].square()}} for batch in batches]
    if names != ("strong",):  # it does not look at the target
        other = trained(fit, changed, names).state_dict()
        weights = without.network.state_dict()
        assert any(not torch.equal(tensor, other[f"network.{name}"]) for name, tensor in weights.items())


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("layout", [False, True])
def test_no_method_lets_the_segmentation_loss_reach_the_target(make_batch: Any, name: str, layout: bool) -> None:
    """Without the method's own term no gradient arrives at the target's part of what the network is given."""
    network = small(norm="batch" if name == "norm" else "instance")
    module = combined(network, [name], channels_last=layout)
    given: list[Tensor] = []
    forward = network.forward_features

    def watched(images: Tensor) -> Any:
        given.append(images.detach().requires_grad_())
        return forward(given[-1])

    network.forward_features = watched  # type: ignore[method-assign, assignment]
    module.methods[name].loss = lambda _: None  # type: ignore[assignment]
    torch.autograd.backward(step(module, make_batch(source=1, target=2)))
    assert len(given) == (2 if name == "norm" else 1)  # the sides apart, or together
    gradient = torch.cat([images.grad for images in given if images.grad is not None])
    assert len(gradient) == (3 if module.methods[name].reads_target else 1)
    assert gradient[0].any()
    assert torch.equal(gradient[1:], torch.zeros_like(gradient[1:]))


@pytest.mark.parametrize(("norm", "names"), NETWORKS)
def test_a_resumed_run_of_all_methods_equals_an_uninterrupted_one(
    make_batch: Any, fit: Any, tmp_path: Path, norm: Any, names: tuple[str, ...]
) -> None:
    """Two epochs, a checkpoint, and two more by fresh objects equal four, bit for bit, teachers and counters too."""
    batches = [make_batch(source=1, target=2, seed=s) for s in (1, 2)]
    whole = combined(small(norm=norm), names)
    fit(whole, batches, epochs=4, validation=batches)
    first = combined(small(norm=norm), names)

    class Stop(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
            del pl_module
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(tmp_path / "two.ckpt")
                trainer.should_stop = True

    fit(first, batches, epochs=4, validation=batches, callbacks=[Stop()])
    saved = torch.load(tmp_path / "two.ckpt", weights_only=True)
    assert saved["state_dict"]["methods.mean_teacher.steps"].item() == 4
    assert any(name.startswith("methods.mean_teacher.teacher.encoder") for name in saved["state_dict"])
    assert saved["state_dict"]["methods.class_ratio.shares.seen"].item() == 4
    resumed = combined(small(norm=norm), names)
    fit(resumed, batches, epochs=4, validation=batches, checkpoint=tmp_path / "two.ckpt")
    assert whole.state_dict()["methods.mean_teacher.steps"].item() == 8
    assert whole.state_dict()["methods.class_ratio.shares.seen"].item() == 8
    assert whole.state_dict()["methods.dann.reversal.alpha"].item() == pytest.approx(0.8)
    assert_same_bits(resumed, whole)


def test_a_method_that_needs_no_target_trains_without_one(make_batch: Any, fit: Any) -> None:
    batches = [make_batch(source=2, seed=s) for s in (1, 2)]
    strong, plain = trained(fit, batches, ["strong"]), small()
    optimizer = partial(SGD, lr=0.01, momentum=0.99, nesterov=True)
    fit(SegmentationModule(network=plain, optimizer=optimizer, lr_schedule=poly_decay), batches, epochs=2)
    assert not torch.equal(first_convolution(strong.network), first_convolution(plain))
    idle = trained(
        fit, batches, ["strong", *(name for name in METHODS if name not in ("dann", "conditioned", "advent"))]
    )
    for own, other in zip(idle.network.parameters(), strong.network.parameters(), strict=True):
        assert torch.equal(own, other)  # the others wait for a target


def first_convolution(network: SegmentationNetwork) -> Tensor:
    return next(network.encoder.parameters())


@pytest.mark.parametrize(("norm", "names"), NETWORKS)
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


@pytest.mark.parametrize(("norm", "names"), NETWORKS)
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
    wanted = {"loss_consistency", "threshold_wt", "loss_entropy", "loss_prior", "loss_domain"}
    assert {f"train/{name}" for name in wanted} <= set(trainer.callback_metrics)
    teacher = module.methods["mean_teacher"].get_submodule("teacher")
    assert all(parameter.dtype == torch.float32 for parameter in teacher.parameters())
    trained = {id(parameter) for group in trainer.optimizers[0].param_groups for parameter in group["params"]}
    assert trained == {id(parameter) for parameter in module.parameters() if parameter.requires_grad}
    assert not trained & {id(parameter) for parameter in teacher.parameters()}
