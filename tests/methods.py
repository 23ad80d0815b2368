"""Methods as conf/adaptation declares them, in modules of tiny networks, and what is promised of every one.

A method from elsewhere is held to the same by the folder of its own conf/.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.optim import SGD
from torch.utils.data import DataLoader

from pedseg.adaptation import Method, Stage, methods_of
from pedseg.adaptation.chosen import arguments_of
from pedseg.modules import AdaptationModule
from pedseg.modules.segmentation import Batch
from pedseg.networks import SegmentationNetwork, UNet
from pedseg.schedules import poly_decay
from pedseg.settings.signature import checked_arguments
from tests.composed import files, plain, searched

PATCH = (16, 16, 16)
FILES = tuple(name for name in files("adaptation") if name != "none")


@cache
def settings_of(file: str, elsewhere: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Settings of the method that ``adaptation=file`` chooses, at the size of the tests; not to be written to."""
    adaptation: dict[str, Any] = plain("scale=toy", f"adaptation={file}", *searched(elsewhere))["adaptation"]
    return adaptation


def method(file: str, *, elsewhere: tuple[Path, ...] = ()) -> Method:
    """The method of a file, which acts from the first step on: what rises is half way up at progress 0."""
    adaptation = settings_of(file, elsewhere)
    ((name, kind),) = methods_of(adaptation).items()
    arguments = checked_arguments(kind, arguments_of(adaptation[name]), where=name)
    for key in arguments:
        if key.endswith(("start", "end")):
            arguments[key] = -0.5 if key.endswith("start") else 0.5
    return kind(**arguments)


def norm_for(methods: Sequence[Method]) -> Any:
    """Norms of a network that all these methods can work with."""
    return "batch" if any(one.stage is Stage.NORMS for one in methods) else "instance"


EVERY = tuple(sorted(FILES, key=lambda file: list(Stage).index(method(file).stage)))  # as they are applied
METHODS = tuple(file for file in EVERY if norm_for([method(file)]) == "instance")  # of any network
BASIC = tuple(file for file in METHODS if file in settings_of(file))  # what others are variants of
VARIANTS = tuple(file for file in METHODS if file not in BASIC)
TOGETHER: tuple[tuple[Any, tuple[str, ...]], ...] = (  # norms, and methods of one network
    ("instance", BASIC),
    ("instance", VARIANTS),
    ("batch", tuple(file for file in EVERY if file not in VARIANTS)),
)


def small(*, norm: Any = "instance") -> SegmentationNetwork:
    """A network of its own weights, whose predictions are sure of themselves."""
    torch.manual_seed(0)
    network = UNet(patch_size=PATCH, base_features=4, deep_supervision=True, norm=norm)
    with torch.no_grad():
        for parameter in network.seg_layers.parameters():
            parameter.mul_(4)
    return network


def combined(
    network: SegmentationNetwork, names: Sequence[str] = METHODS, *, elsewhere: tuple[Path, ...] = (), **settings: Any
) -> AdaptationModule:
    """Train with several methods at once, each called as its file."""
    methods = {name: method(name, elsewhere=elsewhere) for name in names}
    torch.manual_seed(5)
    return AdaptationModule(
        network=network,
        methods=methods,
        optimizer=partial(SGD, lr=0.01, momentum=0.99, nesterov=True),
        lr_schedule=poly_decay,
        **settings,
    )


def fresh(names: Sequence[str], *, elsewhere: tuple[Path, ...] = ()) -> AdaptationModule:
    """The same with a network that all of them can work with."""
    norm = norm_for([method(name, elsewhere=elsewhere) for name in names])
    return combined(small(norm=norm), names, elsewhere=elsewhere)


def make_batch(*, source: int = 2, target: int = 0, seed: int = 0) -> Batch:
    """Random patches; a side without samples is left out."""
    generator = torch.Generator().manual_seed(seed)
    batch: Batch = {}
    if source:
        image = torch.randn(source, 4, *PATCH, generator=generator)
        label = (torch.rand(source, 3, *PATCH, generator=generator) > 0.7).float()
        batch["source"] = {"image": image, "label": label}
    if target:
        batch["target"] = {"image": 2 * torch.randn(target, 4, *PATCH, generator=generator) + 1}
    return batch


def fit(
    folder: Path,
    module: LightningModule,
    batches: Sequence[Batch],
    *,
    epochs: int = 2,
    validation: Sequence[Batch] | None = None,
    checkpoint: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> Trainer:
    """Train with Lightning's loop; logs go into `folder`."""
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        logger=CSVLogger(folder / "logs"),
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=list(callbacks),
    )
    trainer.fit(
        module,
        train_dataloaders=DataLoader(batches, batch_size=None),  # type: ignore[arg-type]
        val_dataloaders=None if validation is None else DataLoader(validation, batch_size=None),  # type: ignore[arg-type]
        ckpt_path=checkpoint,
    )
    return trainer


def step(module: AdaptationModule, batch: Any) -> Tensor:
    """One training step's loss outside a trainer's loop."""
    module.trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False, enable_progress_bar=False)
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    for one in module._methods():
        one.start_epoch(0.0)
    return module.training_step(batch, 0)


def first_convolution(network: SegmentationNetwork) -> Tensor:
    """Its weight, which every gradient of the network has come through."""
    return next(network.encoder.parameters())


def assert_same_bits(first: AdaptationModule, second: AdaptationModule) -> None:
    """Weights, and all that the methods remember."""
    state = second.state_dict()
    assert first.state_dict().keys() == state.keys()
    for name, tensor in first.state_dict().items():
        torch.testing.assert_close(tensor, state[name], rtol=0, atol=0, equal_nan=True, msg=name)


def assert_labels_change_no_bit(make: Callable[[], AdaptationModule], folder: Path) -> None:
    """A batch that holds target labels, random or all tumour, trains as one that has none; target images matter."""
    batches = [make_batch(source=1, target=2, seed=s) for s in (1, 2)]
    without = make()
    fit(folder, without, batches)
    for labels in (lambda shape: torch.rand(shape) > 0.5, torch.ones):
        labelled = []
        for batch in batches:
            image = batch["target"]["image"]
            labelled.append(batch | {"target": {"image": image, "label": labels((len(image), 3, *PATCH)).float()}})
        blind = make()
        fit(folder, blind, labelled)
        assert_same_bits(blind, without)
    if all(one.needs_target for one in without._methods()):
        other = make()
        fit(folder, other, [batch | {"target": {"image": batch["target"]["image"].square()}} for batch in batches])
        state = other.network.state_dict()
        assert any(not torch.equal(tensor, state[name]) for name, tensor in without.network.state_dict().items())


def assert_no_gradient_of_the_segmentation(make: Callable[[], AdaptationModule]) -> None:
    """Without the methods' own terms no gradient arrives at the target's part of what the network is given."""
    module = make()
    given: list[Tensor] = []
    forward = module.network.forward_features

    def watched(images: Tensor) -> Any:
        given.append(images.detach().requires_grad_())
        return forward(given[-1])

    module.network.forward_features = watched  # type: ignore[method-assign, assignment]
    for one in module._methods():
        one.loss = lambda _: None  # type: ignore[method-assign, assignment]
    torch.autograd.backward(step(module, make_batch(source=1, target=2)))
    assert len(given) == (2 if any(one.separates_domains for one in module._methods()) else 1)
    gradient = torch.cat([images.grad for images in given if images.grad is not None])
    assert len(gradient) == (3 if module._reads_target() else 1)
    assert gradient[0].any()
    assert torch.equal(gradient[1:], torch.zeros_like(gradient[1:]))


def assert_resumes_exactly(make: Callable[[], AdaptationModule], folder: Path) -> AdaptationModule:
    """Two epochs, a checkpoint, and two more by fresh objects equal four, bit for bit; returns the whole run's."""
    batches = [make_batch(source=1, target=2, seed=s) for s in (1, 2)]
    whole, first, resumed = make(), make(), make()
    fit(folder, whole, batches, epochs=4, validation=batches)

    class Stop(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(folder / "two.ckpt")
                trainer.should_stop = True

    fit(folder, first, batches, epochs=4, validation=batches, callbacks=[Stop()])
    fit(folder, resumed, batches, epochs=4, validation=batches, checkpoint=folder / "two.ckpt")
    assert_same_bits(resumed, whole)
    return whole
