"""Settings as runs hold them: those of today, of older versions, of other software, and damaged ones."""

from pathlib import Path
from typing import Any

import pytest

from pedseg.errors import PedsegError
from pedseg.files import write_json
from pedseg.runs import RunFolder
from pedseg.settings.names import deciding
from pedseg.settings.stored import ImportedSettings, read_settings, read_stored
from tests.composed import IMPORTED, settings, write_config
from tests.training import assert_same_bits, train, weights

# The experiment uda at scale=toy as the first version that could train wrote it, and as 0.1 did before types.
FIRST: dict[str, Any] = {
    "fold": 0,
    "folds": "patient",
    "seed": 0,
    "trained_parts": ["encoder", "decoder", "seg_layers"],
    "channels_last": True,
    "loss": {"bce_weight": 1.0, "dice_weight": 1.0},
    "prediction": {"step": 0.5, "mirror": True, "precision": "32", "window_batch": 1},
    "overwrite": False,
    "experiment_name": "uda",
    "run_fold": 0,
    "run_name": "uda",
    "run_dir": "toy/runs/uda/fold_0",
    "data": {
        "synthetic": True,
        "store": "toy/store",
        "spacing_mm": [8.0, 8.0, 8.0],
        "cohorts": {
            "adult": {"folder": "toy/data/adult", "labelled": True, "convention": "brats2023"},
            "ped": {"folder": "toy/data/ped", "labelled": True, "convention": "brats2023"},
        },
        "source": {"adult": "fold"},
        "target": ["ped"],
        "evaluation": "ped",
        "patch_size": [16, 16, 16],
        "batch_size": 2,
        "augmentation": "nnunet",
        "foreground_fraction": 0.33,
        "num_workers": 0,
    },
    "paths": {"adult": "toy/data/adult", "ped": "toy/data/ped", "store": "toy/store", "runs": "toy/runs"},
    "model": {"base_features": 4, "max_features": 16, "norm": "instance", "conv_bias": True, "deep_supervision": False},
    "optimizer": {
        "_target_": "torch.optim.SGD",
        "_partial_": True,
        "lr": 0.01,
        "momentum": 0.99,
        "nesterov": True,
        "weight_decay": 3e-05,
    },
    "lr_schedule": {"_target_": "pedseg.schedules.inverse_decay", "_partial_": True, "slope": 10.0, "exponent": 0.75},
    "init": {"run": None},
    "adaptation": {
        "method": "dann",
        "alpha_max": 3.0,
        "alpha_start": 0.2,
        "alpha_end": 0.7,
        "lambda_domain": 0.01,
        "decoder_stage": -2,
        "classifier": {"blocks": 2, "channels": 8, "shared_blocks": False, "pooling": "flatten", "norm": "instance"},
    },
    "trainer": {
        "_target_": "lightning.pytorch.Trainer",
        "accelerator": "auto",
        "devices": 1,
        "num_nodes": 1,
        "strategy": "auto",
        "precision": "bf16-mixed",
        "max_epochs": 1,
        "limit_train_batches": 2,
        "limit_val_batches": 1,
        "gradient_clip_val": 12.0,
        "gradient_clip_algorithm": "norm",
        "sync_batchnorm": False,
        "log_every_n_steps": 10,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
        "enable_progress_bar": True,
        "enable_model_summary": False,
        "default_root_dir": "toy/runs/uda/fold_0",
    },
    "logger": {"kind": "csv"},
    "callbacks": {"checkpoint_every": 1, "images": False},
}
LAST: dict[str, Any] = {
    **FIRST,
    "prediction": {**FIRST["prediction"], "precision": "auto", "adapt_steps": 0, "adapt_rate": 0.001},
    "cluster": None,
    "data": {**FIRST["data"], "source": {"adult": "fold", "ped": None}},
    "adaptation": {
        **{key: value for key, value in FIRST["adaptation"].items() if key != "method"},
        "methods": {"dann": True},
        "reads": "features",
        "classifier": {**FIRST["adaptation"]["classifier"], "blocks": 3},
    },
    "calibration": {"ratios": {}, "target": None},
    "trainer": {**FIRST["trainer"], "precision": "auto"},
}


def written(folder: Path, config: dict[str, Any]) -> Path:
    write_json(folder / "config.json", config)
    return folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_config(tmp_path, "experiment=uda", "scale=toy")
    assert read_settings(tmp_path) == settings("experiment=uda", "scale=toy")


def test_runs_of_every_version_are_read(tmp_path: Path) -> None:
    """Of 0.1 they are the runs of today; the first ones differ in what has been decided otherwise since then."""
    today = deciding(settings("experiment=uda", "scale=toy"))
    first, last = (deciding(read_settings(written(tmp_path / name, one))) for name, one in (("a", FIRST), ("b", LAST)))
    assert last == today
    assert {key for key in first.keys() | today.keys() if first.get(key) != today.get(key)} == {
        "prediction.precision", "trainer.precision", "adaptation.dann.classifier.blocks",
    }  # fmt: skip


def test_a_run_of_before_goes_on(toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Begun by this version, its config.json written as 0.1 would have: it ends with the same bits."""
    command = ("experiment=uda", "trainer.max_epochs=2")
    assert train(toy_world, tmp_path / "whole", *command) == 0
    assert train(toy_world, tmp_path / "before", *command, "trainer.max_steps=2") == 3
    whole, before = (RunFolder(next((tmp_path / name).rglob("config.json")).parent) for name in ("whole", "before"))
    decided = read_settings(before.path).trainer.precision
    changed = {**LAST, "trainer": {**LAST["trainer"], "max_epochs": 2, "precision": decided}}
    changed["machine"] = {"device": "d", "precision": "p", "prediction": "32", "cores": 2, "threads": 1}
    write_json(before.config, changed)
    assert train(toy_world, tmp_path / "before", *command) == 0
    assert "continuing at epoch 2" in capsys.readouterr().out
    assert_same_bits(weights(before.path), weights(whole.path))
    other = {**changed, "lr_schedule": {**LAST["lr_schedule"], "exponent": 1.0}}
    write_json(before.config, other)
    assert train(toy_world, tmp_path / "before", *command) == 2
    assert "lr_schedule.exponent: was 1.0, now 0.75" in capsys.readouterr().err


def test_imported_runs_are_told_apart(tmp_path: Path) -> None:
    stored = read_stored(written(tmp_path, IMPORTED))
    assert isinstance(stored, ImportedSettings)
    assert stored.data.labelled_source == {"Dataset001": "fold"}
    with pytest.raises(PedsegError, match="was imported and names no cohorts"):
        read_settings(tmp_path)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ([1], "holds no settings"),
        ({**LAST, "sed": 1}, "sed is unknown; did you mean seed?"),
        ({**LAST, "optimizer": {**LAST["optimizer"], "lr": "fast"}}, "optimizer.lr='fast': give a number"),
        ({key: value for key, value in LAST.items() if key != "data"}, "data is missing"),
    ],
)
def test_damaged_ones_are_named(tmp_path: Path, config: Any, said: str) -> None:
    with pytest.raises(PedsegError) as raised:
        read_stored(written(tmp_path, config))
    assert str(raised.value).startswith(str(tmp_path / "config.json"))
    assert said in str(raised.value)
    assert "overwrite=true" in str(raised.value)
    with pytest.raises(PedsegError, match="no such file"):
        read_stored(tmp_path / "nothing")
