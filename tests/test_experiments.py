"""What is promised of every file in conf/experiment: it trains, is blind to labels it is not given, and resumes."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lightning.pytorch import LightningModule, Trainer
from omegaconf import OmegaConf

from pedseg.adaptation import methods_of
from pedseg.callbacks import LastCheckpoint
from pedseg.files import read_json
from pedseg.gap.roles import Role, role_of
from pedseg.reporting.paper import EXPERIMENTS as OF_THE_PAPER
from pedseg.reporting.rows import Model
from pedseg.runs import RunFolder, trained_on_labels
from pedseg.settings.conf import conf_dir
from pedseg.settings.names import deciding
from pedseg.settings.run import RunSettings
from tests.composed import composed, experiments, files
from tests.conftest import FEW, Trained
from tests.training import assert_same_bits, rows, train, weights

EXPERIMENTS = files("experiment")
CONFIGS = experiments()
RUNS = {name: RunSettings.of(config) for name, config in CONFIGS.items()}


def labelled(config: Mapping[str, Any]) -> set[str]:
    """Cohorts whose labels a run is given."""
    return {cohort for cohort, part in config["data"]["source"].items() if part}


def unlabelled(config: Mapping[str, Any]) -> set[str]:
    """Cohorts whose images it is given without."""
    return set(config["data"]["target"])


ADAPTING = [name for name in EXPERIMENTS if CONFIGS[name]["data"]["target"]]
BLIND = [name for name in EXPERIMENTS if unlabelled(CONFIGS[name]) or CONFIGS[name]["adaptation"]]


def test_every_model_of_the_paper_is_there() -> None:
    assert set(OF_THE_PAPER) <= set(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_is_given_no_label_of_what_it_adapts_to(name: str) -> None:
    config = CONFIGS[name]
    assert not labelled(config) & unlabelled(config)
    assert not any(trained_on_labels(RUNS[name], cohort) for cohort in unlabelled(config))
    needing = [method for method in methods_of(config["adaptation"]).values() if method.needs_target]
    assert bool(needing) == bool(config["data"]["target"] or config["data"].get("opposed"))


@pytest.mark.parametrize("name", ADAPTING)
def test_whatever_adapts_is_comparable_with_the_papers_model(name: str) -> None:
    """Data, network, steps and optimizer are the same; only what belongs to a way to adapt or to predict differs."""
    own, model = (deciding(RUNS[other]) for other in (name, "uda"))
    different = {key for key in own.keys() | model.keys() if own.get(key) != model.get(key)}
    parts = ("adaptation.", "lr_schedule.", "loss.", "model.norm")
    assert not [key for key in different if not key.startswith(parts)]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_section_of_a_file_changes_something(name: str) -> None:
    """Against the experiment that it extends, or the defaults."""
    body = OmegaConf.to_container(OmegaConf.load(conf_dir() / "experiment" / f"{name}.yaml"), resolve=False)
    assert isinstance(body, dict)
    first = next(iter(body.pop("defaults", [])), "_self_")
    base = [f"experiment={first}"] if first in EXPERIMENTS else []
    before, after = (
        OmegaConf.to_container(composed(*overrides), resolve=False) for overrides in (base, [f"experiment={name}"])
    )
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert not [section for section in body if before.get(section) == after[section]]


def test_supervised_controls_and_methods_are_told_apart() -> None:
    """By what their methods declare, and by the labels that they are given."""
    roles = {name: role_of({0: Model(name, pd.DataFrame(), settings=run)}, {"ped"}) for name, run in RUNS.items()}
    for name, config in CONFIGS.items():
        assert (roles[name] is Role.SUPERVISED) == ("ped" in labelled(config))
        opposed = set(config["data"].get("opposed") or ())
        assert opposed <= labelled(config)
        assert not (opposed and config["data"]["target"])
    assert [name for name in EXPERIMENTS if CONFIGS[name]["data"].get("opposed")] == ["uda_released_2024"]
    without = {name for name in ADAPTING if roles[name] is Role.CONTROL}
    assert without == {"uda_alpha0", "uda_alpha0_batchnorm"}
    assert {roles[name] for name in ADAPTING} == {Role.CONTROL, Role.METHOD}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_trains_predicts_and_scores(trained: Trained, name: str) -> None:
    folder, config = trained(name), CONFIGS[name]
    cases = {row["case"] for row in rows(folder.variant("plain").scores)}
    assert len(rows(folder.variant("plain").scores)) == 3 * len(cases)
    seen = "ped" in labelled(config) | unlabelled(config)
    assert len(cases) == (1 if seen else 6)  # the fold's children, or all of them where no child was seen
    assert len(list(folder.variant("plain").path.glob("*.nii.gz"))) == len(cases)
    assert read_json(folder.variant("plain").finished) == {"predicted": len(cases), "scored": len(cases)}
    assert any(row["train/loss"] for row in rows(folder.metrics))


class PowerCut(BaseException):
    """The end of a run that nobody catches."""


def without_labels(world: Path, to: Path, cohorts: set[str]) -> Path:
    """Copy the toy cohorts without a trace of the labels of some of them."""
    shutil.copytree(world, to)
    for cohort in cohorts:
        hidden = [*(to / cohort).rglob("*seg*"), *(to / "store" / cohort).rglob("label*")]
        hidden += (to / "store" / cohort).rglob("foreground*")
        assert len(hidden) == 3 * 6
        for path in hidden:
            path.unlink()
    return to


@pytest.mark.parametrize("name", BLIND)
def test_neither_labels_of_the_target_nor_a_stop_change_a_bit(
    trained: Trained, toy_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """From outside: the labels that a run is not given are deleted from the disk, and it is stopped half way."""
    hidden = {"adult", "ped"} - labelled(CONFIGS[name])
    world = without_labels(toy_world, tmp_path / "blind world", hidden)
    command = (f"experiment={name}", f"run_name={name}", *FEW)
    written = LastCheckpoint.on_train_epoch_end

    def cut(callback: LastCheckpoint, trainer: Trainer, module: LightningModule) -> None:
        written(callback, trainer, module)
        if trainer.current_epoch == 1:
            raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(LastCheckpoint, "on_train_epoch_end", cut)
        with pytest.raises(PowerCut):
            train(world, tmp_path / "runs", *command)
    (folder,) = map(RunFolder, (tmp_path / "runs" / name).iterdir())
    assert folder.checkpoint.exists()
    assert not folder.finished.exists()
    assert train(world, tmp_path / "runs", *command) == 0
    whole = trained(name)
    assert_same_bits(weights(folder.path), weights(whole.path))
    own, other = (read_json(run.variant("plain").finished)["scored"] for run in (folder, whole))
    assert own == (0 if "ped" in hidden else other)
