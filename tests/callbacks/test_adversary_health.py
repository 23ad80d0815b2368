"""Warnings of real, tiny fits: in the log once, in the curves, across a resume, and on the W&B dashboard."""

import csv
import json
import logging
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers.logger import Logger
from torch.optim import SGD
from torch.utils.data import DataLoader

from pedseg.adaptation import DomainAdversary
from pedseg.adaptation.adversary import Classifier
from pedseg.callbacks import AdversaryHealth, LastCheckpoint, MetricsCsv
from pedseg.health import METRICS
from pedseg.modules import AdaptationModule, SegmentationModule
from pedseg.networks import UNet
from pedseg.reporting.adversary import watch
from pedseg.runs import RunFolder
from pedseg.schedules import constant
from pedseg.settings.following import Logger as LoggerSettings
from pedseg.settings.outside import About
from pedseg.tracking.wandb_run import WandbRun
from tests.composed import write_config
from tests.wandb_records import history_of, read_records

PATCH = (16, 16, 16)
WEAK = 1e-9  # lambda that nobody feels


def batch(seed: int) -> dict[str, dict[str, torch.Tensor]]:
    random = torch.Generator().manual_seed(seed)
    source = {
        "image": torch.randn(1, 4, *PATCH, generator=random),
        "label": (torch.rand(1, 3, *PATCH, generator=random) > 0.7).float(),
    }
    return {"source": source, "target": {"image": 2 * torch.randn(1, 4, *PATCH, generator=random) + 1}}


def adversary(*, lambda_domain: float = WEAK) -> DomainAdversary:
    """Alpha is 0 in the first epoch, 2 from the second on."""
    return DomainAdversary(
        alpha_max=2.0,
        lambda_domain=lambda_domain,
        alpha_start=0.0,
        alpha_end=0.1,
        decoder_stage=[1],
        classifier=Classifier(channels=4, blocks=1),
    )


def module(*, adapts: bool = True) -> SegmentationModule:
    torch.manual_seed(0)
    network = UNet(patch_size=PATCH, base_features=4, max_features=16)
    common: dict[str, Any] = {"optimizer": partial(SGD, lr=0.01), "lr_schedule": constant}
    if not adapts:
        return SegmentationModule(network=network, **common)
    return AdaptationModule(network=network, methods={"mine": adversary()}, **common)


def fit(
    folder: RunFolder,
    *,
    epochs: int,
    first_epoch: int = 0,
    adapts: bool = True,
    loggers: Sequence[Logger] = (),
) -> AdversaryHealth:
    health = AdversaryHealth(panel_every=2)
    curves = MetricsCsv(folder.metrics, first_epoch=first_epoch)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        logger=[curves, *loggers],
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[health, LastCheckpoint(folder, every_n_epochs=1)],
    )
    batches: Any = DataLoader([batch(0)], batch_size=None)  # type: ignore[arg-type]
    ckpt = folder.checkpoint if first_epoch else None
    trainer.fit(module(adapts=adapts), batches, batches, ckpt_path=ckpt, weights_only=True)
    curves.finalize("success")
    return health


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "pedseg.callbacks.adversary_health"]


def test_a_fit_says_once_what_the_report_finds_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The reversed gradient is nothing: five epochs with alpha > 0 are epochs 2 to 6; a resumed run stays silent."""
    folder = RunFolder(tmp_path / "a run")
    with caplog.at_level(logging.WARNING):
        fit(folder, epochs=6)
    said = warnings(caplog)
    assert sum(line.startswith("adversary, epoch 6: vanishing gradient: ") for line in said) == 1
    assert len({line.split(": ")[1] for line in said}) == len(said)
    write_config(folder.path, adaptation={"mine": {"alpha_max": 2.0, "lambda_domain": WEAK}})
    watched = watch(folder)
    assert watched is not None
    assert watched.weight == WEAK
    assert all("adaptation.mine." in text for text in (*said, *(finding.text for finding in watched.findings)))
    assert [f"adversary, epoch {f.epoch + 1}: {f.rule}" for f in watched.findings] == [
        ": ".join(line.split(": ")[:2]) for line in said
    ]
    caplog.clear()
    health = fit(folder, epochs=8, first_epoch=6)
    assert [epoch.number for epoch in health.epochs] == list(range(8))
    assert not [line for line in warnings(caplog) if "vanishing" in line]


def test_derived_values_are_in_the_curves(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    fit(folder, epochs=2)
    with folder.metrics.open(newline="") as file:
        first, second = (row for row in csv.DictReader(file) if row["train/loss_domain"])
    assert float(second["train/lambda_loss_domain"]) == pytest.approx(WEAK * float(second["train/loss_domain"]))
    ratio = float(second["train/gradient_domain"]) / float(second["train/gradient_seg"])
    assert float(second["train/gradient_ratio"]) == pytest.approx(ratio, rel=1e-5)
    assert not first["train/gradient_ratio"]  # nothing is reversed
    assert set(METRICS.values()) <= set(second)


def test_a_run_without_an_adversary_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    health = fit(RunFolder(tmp_path), epochs=1, adapts=False)
    assert health.epochs == []
    assert not warnings(caplog)
    assert watch(RunFolder(tmp_path)) is None


@pytest.mark.parametrize("first", [True, False])
def test_only_the_first_process_speaks(first: bool, caplog: pytest.LogCaptureFixture) -> None:
    """All processes remember what was said, so that the checkpoint, which one of them writes, knows it."""
    health = AdversaryHealth()
    logged: dict[str, float] = {}
    watched = SimpleNamespace(methods={"dann": adversary()}, log=logged.__setitem__)
    for number in range(12):
        means = {"train/alpha": 1.0, "train/gradient_seg": 1.0, "train/gradient_domain": 5.0, "train/loss_domain": 0.5}
        trainer = SimpleNamespace(
            callback_metrics={name: torch.tensor(value) for name, value in means.items()},
            current_epoch=number,
            is_global_zero=first,
            loggers=[],
            max_epochs=1,
            global_step=1,
        )
        health.on_train_epoch_end(trainer, watched)  # type: ignore[arg-type]
    said = ["dominating gradient"]
    assert [line.split(": ")[1] for line in warnings(caplog)] == (said if first else [])
    assert health.said == said
    assert logged == pytest.approx({"train/lambda_loss_domain": WEAK * 0.5, "train/gradient_ratio": 5.0})
    again = AdversaryHealth()
    again.load_state_dict(health.state_dict())
    assert again.said == said
    assert str(again.epochs) == str(health.epochs)  # NaN differs from itself


def test_the_panel_is_in_an_offline_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    about = About(name="uda/fold_0", group="uda", job="fold_0", config={}, tags=(), notes="")
    logger = WandbRun(tmp_path, about, LoggerSettings(wandb=True, offline=True))
    health = fit(RunFolder(tmp_path), epochs=3, loggers=[logger])
    logger.close(failed=False)
    (record,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    history, config = read_record(record)
    shown = [row for row in history if "adversary/alpha" in row]
    assert [row["epoch"] for row in shown] == [0, 1, 2]
    assert [row["adversary/alpha"] for row in shown] == [0.0, 2.0, 2.0]
    assert {f"adversary/{name}" for name in METRICS} | {"adversary/lambda_loss_domain"} <= set(shown[0])
    assert "adversary/gradient_ratio" not in shown[0]
    assert "adversary/gradient_ratio" in shown[1]
    assert "wandb/lineseries/v0" in config  # the chart that shows the table
    tables = sorted(
        (record.parent / "files" / "media" / "table").rglob("*.table.json"), key=lambda p: p.stat().st_mtime
    )
    assert len(tables) == 2  # after the second and the last epoch
    table = json.loads(tables[-1].read_text())
    assert {line for _, line, _ in table["data"]} == {
        "domain accuracy, source", "domain accuracy, target", "alpha / 2", "lambda L_d / (lambda ln 2)",
        "log10 gradient ratio",
    }  # fmt: skip
    ratios = [value for _, key, value in table["data"] if key == "log10 gradient ratio"]
    assert ratios == pytest.approx([math.log10(epoch.gradient_ratio) for epoch in health.epochs[1:]])


def read_record(path: Path) -> tuple[list[dict[str, Any]], str]:
    """Rows of the history and the configuration in a W&B record, once its writer has ended it."""
    records = read_records(path)
    return history_of(records), "".join(item.value_json for record in records for item in record.config.update)
