"""Supervised training on in-memory batches."""

import csv
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import SGD

from pedseg.errors import PedsegError
from pedseg.losses import DeepSupervisionLoss, DiceBCELoss
from pedseg.modules import SegmentationModule
from pedseg.networks import UNet, rebuild
from pedseg.schedules import poly_decay


class LearningRates(Callback):
    """Notes the learning rate of every step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: object) -> None:
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


class StopAfter(Callback):
    """Breaks off after an epoch, as a killed run does, leaving a checkpoint."""

    def __init__(self, epoch: int, path: Path) -> None:
        self.epoch = epoch
        self.path = path

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            trainer.save_checkpoint(self.path, weights_only=False)
            trainer.should_stop = True


def logged(trainer: Trainer) -> dict[str, list[float]]:
    assert trainer.logger is not None
    columns: dict[str, list[float]] = {}
    with (Path(str(trainer.logger.log_dir)) / "metrics.csv").open() as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if value:
                    columns.setdefault(name, []).append(float(value))
    return columns


def test_weights_equal_a_loop_by_hand(network: UNet, sgd: partial[SGD], make_batch: Any, fit: Any) -> None:
    reference = rebuild(network.settings)
    reference.load_state_dict(network.state_dict())
    batches = [make_batch(seed=1), make_batch(seed=2)]
    fit(SegmentationModule(network=network, optimizer=sgd, lr_schedule=poly_decay), batches, epochs=2)
    optimizer = sgd(reference.parameters())
    for epoch in (0, 1):
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - epoch / 2) ** 0.9
        for batch in batches:
            optimizer.zero_grad()
            DiceBCELoss()(reference(batch["source"]["image"]), batch["source"]["label"]).backward()
            optimizer.step()
    for own, expected in zip(network.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(own, expected, atol=1e-6, rtol=0)


def test_deep_supervision_reaches_the_loss(sgd: partial[SGD], make_batch: Any, fit: Any) -> None:
    torch.manual_seed(0)
    network = UNet(patch_size=(16,) * 3, base_features=4, deep_supervision=True)
    batch = make_batch()
    with torch.no_grad():
        heads = network.forward_features(batch["source"]["image"]).logits
        expected = DeepSupervisionLoss(DiceBCELoss(), weights=[3, 1])(heads, batch["source"]["label"])
    assert len(heads) == 2
    module = SegmentationModule(
        network=network, optimizer=sgd, lr_schedule=poly_decay, deep_supervision_weights=[0.75, 0.25]
    )
    trainer = fit(module, [batch], epochs=1)
    assert logged(trainer)["train/loss"] == [pytest.approx(expected.item(), abs=1e-6)]


def test_learning_rate_and_names_of_what_is_logged(network: UNet, sgd: partial[SGD], make_batch: Any, fit: Any) -> None:
    rates = LearningRates()
    module = SegmentationModule(network=network, optimizer=sgd, lr_schedule=poly_decay)
    trainer = fit(module, [make_batch()] * 2, epochs=4, validation=[make_batch(seed=9)], callbacks=[rates])
    expected = [0.01 * (1 - epoch / 4) ** 0.9 for epoch in (0, 0, 1, 1, 2, 2, 3, 3)]
    assert rates.seen == pytest.approx(expected)
    columns = logged(trainer)
    dice = {f"val/source/dice_{name}" for name in ("wt", "tc", "et", "mean", "ema")}
    assert set(columns) == {"epoch", "step", "train/loss", "train/loss_seg", "train/learning_rate", "val/loss"} | dice
    mean = columns["val/source/dice_mean"]
    assert len(mean) == 4
    average = mean[0]
    for value, logged_average in zip(mean, columns["val/source/dice_ema"], strict=True):
        average = 0.9 * average + 0.1 * value
        assert logged_average == pytest.approx(average, abs=1e-6)


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("parts", [("seg_layers",), ("encoder", "seg_layers"), ("decoder", "seg_layers")])
def test_frozen_parts_are_bit_identical(
    norm: Any, parts: tuple[str, ...], sgd: partial[SGD], make_batch: Any, fit: Any
) -> None:
    torch.manual_seed(0)
    network = UNet(patch_size=(16,) * 3, base_features=2, norm=norm)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    module = SegmentationModule(network=network, optimizer=sgd, lr_schedule=poly_decay, trainable_parts=parts)
    fit(module, [make_batch(), make_batch(seed=1)], epochs=2, validation=[make_batch(seed=2)])
    for name, tensor in network.state_dict().items():
        frozen = name.split(".")[0] not in parts
        if frozen:
            assert torch.equal(tensor, before[name]), name
        elif "weight" in name and "norm" not in name:
            assert not torch.equal(tensor, before[name]), name


def test_checkpoint_is_plain_and_resumes_exactly(sgd: partial[SGD], make_batch: Any, fit: Any, tmp_path: Path) -> None:
    def module() -> SegmentationModule:
        torch.manual_seed(0)
        network = UNet(patch_size=(16,) * 3, base_features=2)
        return SegmentationModule(network=network, optimizer=sgd, lr_schedule=poly_decay)

    batches, validation = [make_batch(seed=1), make_batch(seed=2)], [make_batch(seed=3)]
    whole, broken, resumed = module(), module(), module()
    fit(whole, batches, epochs=4, validation=validation)
    path = tmp_path / "last.ckpt"
    fit(broken, batches, epochs=4, validation=validation, callbacks=[StopAfter(1, path)])
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["pedseg"]["regions"] == ["wt", "tc", "et"]
    assert checkpoint["pedseg"]["patch_size"] == [16, 16, 16]
    rebuilt = rebuild(checkpoint["pedseg"]["network"])
    rebuilt.load_state_dict(
        {k.removeprefix("network."): v for k, v in checkpoint["state_dict"].items() if k.startswith("network.")}
    )
    fit(resumed, batches, epochs=4, validation=validation, checkpoint=path)
    assert whole.state_dict().keys() == resumed.state_dict().keys()
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_channels_last_computes_the_same(network: UNet, sgd: partial[SGD], make_batch: Any) -> None:
    image = make_batch()["source"]["image"]
    with torch.no_grad():
        expected = network(image)
        module = SegmentationModule(network=network, optimizer=sgd, lr_schedule=poly_decay, channels_last=True)
        assert network.get_parameter("encoder.1.conv1.conv.weight").is_contiguous(memory_format=torch.channels_last_3d)
        scale = expected.abs().max()
        torch.testing.assert_close(module(image) / scale, expected / scale, atol=1e-5, rtol=0)


def test_bad_settings_are_refused(network: UNet, sgd: partial[SGD], make_batch: Any, fit: Any) -> None:
    for parts in (("head",), ()):
        with pytest.raises(PedsegError, match="choose one or more of encoder, decoder, seg_layers"):
            SegmentationModule(network=network, optimizer=sgd, lr_schedule=poly_decay, trainable_parts=parts)
    module = SegmentationModule(network=network, optimizer=sgd, lr_schedule=poly_decay)
    trainer = Trainer(
        max_epochs=-1,
        max_steps=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    with pytest.raises(PedsegError, match=r"trainer.max_epochs, which is -1"):
        trainer.fit(module, torch.utils.data.DataLoader([make_batch()], batch_size=None))  # type: ignore[arg-type]


@pytest.mark.parametrize(("norm", "synchronised"), [("batch", True), ("batch", False), ("instance", True)])
def test_batch_norms_of_cpus_are_not_synchronised(sgd: partial[SGD], norm: Any, synchronised: bool) -> None:
    """Said before anything is trained, not by DDP's own error."""
    network = UNet(patch_size=(16,) * 3, base_features=4, norm=norm)
    module = SegmentationModule(network=network, optimizer=sgd, lr_schedule=poly_decay)
    module.trainer = Trainer(
        accelerator="cpu", strategy="ddp", devices=1, sync_batchnorm=synchronised, logger=False,
        enable_checkpointing=False, enable_progress_bar=False,
    )  # fmt: skip
    if norm == "batch" and synchronised:
        with pytest.raises(PedsegError, match=r"trainer\.sync_batchnorm=false"):
            module.setup("fit")
    else:
        module.setup("fit")
