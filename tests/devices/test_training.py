"""Whole fits on the accelerator: every precision, the scaler of float16, and a resumed run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch.backends import cudnn
from torch.utils.data import DataLoader

from pedseg.modules import AdaptationModule
from pedseg.modules.segmentation import Batch
from tests.devices.test_step import make_batch
from tests.methods import TOGETHER, combined, first_convolution, small


def fit(
    module: AdaptationModule, accelerator: str, *, epochs: int = 2, checkpoint: Path | None = None, **settings: Any
) -> Trainer:
    """Train on one batch an epoch, without logs and files."""
    trainer = Trainer(
        max_epochs=epochs, accelerator=accelerator, devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, gradient_clip_val=12, **settings,
    )  # fmt: skip
    batches: list[Batch] = [make_batch()]
    trainer.fit(module, DataLoader(batches, batch_size=None), ckpt_path=checkpoint)  # type: ignore[arg-type]
    return trainer


@pytest.mark.parametrize(("norm", "names"), TOGETHER, ids=["basic", "variants", "batch"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_a_step_in_every_precision(accelerator: str, precision: Any, norm: Any, names: Sequence[str]) -> None:
    """All methods at once; the CPU takes bfloat16 in place of 16-mixed (Lightning says so)."""
    module = combined(small(norm=norm), names, channels_last=True)
    before = first_convolution(module.network).detach().clone()
    trainer = fit(module, accelerator, epochs=3, precision=precision)
    assert all(value.isfinite().all() for value in trainer.callback_metrics.values())
    assert all(parameter.isfinite().all() for parameter in module.parameters())
    assert not torch.equal(first_convolution(module.network).cpu(), before)


class _Norms(Callback):
    """Keeps the gradient norms of the first step and the scale of its loss."""

    def __init__(self) -> None:
        self.norms: dict[str, float] = {}
        self.scale = 0.0

    def on_after_backward(self, trainer: Trainer, pl_module: Any) -> None:
        if not self.norms:
            self.norms = {name: float(norm) for name, norm in pl_module.methods["dann"].gradient_norms.items()}
            self.scale = pl_module._loss_scale()


def test_gradient_norms_do_not_depend_on_the_scale_of_the_loss(accelerator: str) -> None:
    """float16 multiplies the loss before its backward; norms that are logged are those of the loss itself."""
    found = {}
    for precision in ("32-true", "16-mixed"):
        norms = _Norms()
        fit(combined(small(), ["dann"]), accelerator, epochs=1, precision=precision, callbacks=[norms])
        found[precision] = norms
    assert found["32-true"].scale == 1
    assert found["16-mixed"].scale == (65536 if accelerator == "cuda" else 1)  # PyTorch's first scale
    for name, norm in found["32-true"].norms.items():
        assert norm > 0
        assert found["16-mixed"].norms[name] == pytest.approx(norm, rel=0.05), name


@pytest.mark.parametrize("names", [("dann",), ("norm", "class_ratio", "dann", "histogram")], ids="+".join)
def test_a_resumed_run_continues(accelerator: str, tmp_path: Path, names: Sequence[str]) -> None:
    """Two epochs, a checkpoint and two more are four.

    To the bit on the CPU. On a GPU PyTorch has no deterministic kernel for some gradients in 3-D (interpolation,
    pooling), so there, with deterministic convolutions, the runs are close.
    """
    norm = "batch" if "norm" in names else "instance"

    class Save(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(tmp_path / "two.ckpt")

    with cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        whole, resumed = (combined(small(norm=norm), names, channels_last=True) for _ in range(2))
        fit(whole, accelerator, epochs=4, callbacks=[Save()])
        fit(resumed, accelerator, epochs=4, checkpoint=tmp_path / "two.ckpt")
    state = resumed.state_dict()
    for name, tensor in whole.state_dict().items():
        if accelerator == "cpu":
            torch.testing.assert_close(state[name], tensor, atol=0, rtol=0, equal_nan=True, msg=name)
        elif not name.endswith("shares.mass"):
            torch.testing.assert_close(state[name], tensor, atol=1e-3, rtol=1e-3, equal_nan=True, msg=name)
