"""Tiny networks and in-memory batches."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch.optim import SGD

from pedseg.modules.segmentation import Batch
from pedseg.networks import UNet
from tests import methods
from tests.methods import PATCH

MakeBatch = Callable[..., Batch]
Fit = Callable[..., Trainer]


@pytest.fixture
def make_batch() -> MakeBatch:
    return methods.make_batch


@pytest.fixture
def network() -> UNet:
    torch.manual_seed(0)
    return UNet(patch_size=PATCH, base_features=4)


@pytest.fixture
def sgd() -> partial[SGD]:
    return partial(SGD, lr=0.01, momentum=0.99, nesterov=True, weight_decay=3e-5)


@pytest.fixture
def fit(tmp_path: Path) -> Fit:
    return partial(methods.fit, tmp_path)
