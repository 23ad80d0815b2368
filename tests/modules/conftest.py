"""Tiny networks and in-memory batches."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch.optim import SGD
from torch.utils.data import DataLoader

from pedseg.modules.segmentation import Batch
from pedseg.networks import UNet

PATCH = (16, 16, 16)
MakeBatch = Callable[..., Batch]
Fit = Callable[..., Trainer]


@pytest.fixture
def make_batch() -> MakeBatch:
    def make(*, source: int = 2, target: int = 0, seed: int = 0) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        batch: Batch = {}
        if source:
            image = torch.randn(source, 4, *PATCH, generator=generator)
            batch["source"] = {
                "image": image,
                "label": (torch.rand(source, 3, *PATCH, generator=generator) > 0.7).float(),
            }
        if target:
            batch["target"] = {"image": 2 * torch.randn(target, 4, *PATCH, generator=generator) + 1}
        return batch

    return make


@pytest.fixture
def network() -> UNet:
    torch.manual_seed(0)
    return UNet(patch_size=PATCH, base_features=4)


@pytest.fixture
def sgd() -> partial[SGD]:
    return partial(SGD, lr=0.01, momentum=0.99, nesterov=True, weight_decay=3e-5)


@pytest.fixture
def fit(tmp_path: Path) -> Fit:
    def run(
        module: LightningModule,
        batches: Sequence[Batch],
        *,
        epochs: int = 2,
        validation: Sequence[Batch] | None = None,
        checkpoint: Path | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Trainer:
        trainer = Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            devices=1,
            logger=CSVLogger(tmp_path / "logs"),
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

    return run
