"""No step makes the host wait for the device: steps of a real fit, with the callbacks of a run, clipping and logs."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.optim import SGD
from torch.utils.data import DataLoader

from pedseg.adaptation import Method, Step, style
from pedseg.callbacks import AdversaryHealth, EpochLine, MetricsCsv, StepTimer
from pedseg.modules import AdaptationModule, SegmentationModule
from pedseg.schedules import constant, poly_decay
from tests.methods import TOGETHER, combined, small
from tests.modules.waits import Waits


def fitted(module: SegmentationModule, batches: Any, folder: Path) -> Waits:
    """What waited in the steps of two epochs."""
    waits = Waits()
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", precision="bf16-mixed", gradient_clip_val=12, log_every_n_steps=2,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        logger=MetricsCsv(folder / "metrics.csv"), callbacks=[StepTimer(), AdversaryHealth(), EpochLine("run"), waits],
    )  # fmt: skip
    with waits.looking():
        trainer.fit(module, DataLoader(batches, batch_size=None), DataLoader(batches[:1], batch_size=None))
    assert waits.steps == 2 * (len(batches) - 1)
    return waits


@pytest.fixture(autouse=True)
def _sort_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sort as where there is a GPU; the CPU's own way goes through NumPy."""
    monkeypatch.setattr(style, "_ordered", lambda values: values.sort().values)


def test_supervised_steps(make_batch: Any, tmp_path: Path) -> None:
    module = SegmentationModule(network=small(), optimizer=partial(SGD, lr=0.01, momentum=0.9), lr_schedule=poly_decay)
    assert fitted(module, [make_batch(seed=s) for s in range(3)], tmp_path).found == {}


@pytest.mark.parametrize("names", [("norm",), *(names for _, names in TOGETHER)], ids="+".join)
def test_adapting_steps(make_batch: Any, tmp_path: Path, names: tuple[str, ...]) -> None:
    """All methods at once; some steps log gradient norms, and in the last ones there are thresholds."""
    module = combined(small(norm="batch" if "norm" in names else "instance"), names)
    batches = [make_batch(source=1, target=2, seed=s) for s in range(3)]
    assert fitted(module, batches, tmp_path).found == {}


class Waiting(Method):
    """Does one thing that waits."""

    def __init__(self, what: Any) -> None:
        super().__init__()
        self.what = what

    def loss(self, step: Step) -> Tensor | None:
        self.what(step.images["target"])  # type: ignore[index]
        return None


@pytest.mark.parametrize(
    "what",
    [
        lambda x: x.sum().item(), lambda x: bool(x.any()), lambda x: float(x.mean()), lambda x: x[x > 0],
        lambda x: x.cpu(), lambda x: x.flatten()[:3].tolist(), lambda x: torch.tensor([1, 2], device=x.device),
        lambda x: x.nonzero(), lambda x: torch.from_numpy(np.zeros(2)).to(x.device), lambda x: torch.equal(x, x),
        lambda x: x[0].numpy(),
    ],
)  # fmt: skip
def test_what_waits_is_found(make_batch: Any, tmp_path: Path, what: Any) -> None:
    module = AdaptationModule(
        network=small(), methods={"waiting": Waiting(what)}, optimizer=partial(SGD, lr=0.01), lr_schedule=constant
    )
    found = fitted(module, [make_batch(source=1, target=1, seed=s) for s in range(2)], tmp_path).found
    assert sum(found.values()) >= 2
