"""Settings that leave the machine name no place on it."""

import json
from pathlib import Path

import pytest

from pedseg.settings.names import run_name
from pedseg.settings.outside import about, told, told_name
from pedseg.settings.run import RunSettings
from tests import composed


def settings(*overrides: str) -> RunSettings:
    return composed.settings("experiment=uda", *overrides, run_name=run_name("uda", overrides))


def test_places_are_left_out_and_cohorts_go_by_name() -> None:
    """Folders of every kind of setting; what is computed is told as it is."""
    given = settings(
        "paths.adult=/home/ada/adults", "paths.store=/data/ada/store", "paths.runs=/data/ada/runs", "seed=7",
        "data.cohorts.ped.folder=/home/ada/children", "folds=/home/ada/my study/splits.json",
        "folds.patients=/home/ada/who.csv",
        "init=from_run", "init.run=/data/ada/runs/m1/fold_0", "init.command='train paths.runs=/data/ada'",
        "data.cohorts.adult.population=/home/ada/adults.yaml", "optimizer._target_=torch.optim.SGD",
    )  # fmt: skip
    config = told(given)
    assert "ada" not in json.dumps(config).replace("adaptation", "").replace("adapt", "").replace("nadam", "")
    assert set(config["data"]["cohorts"]) >= {"adult", "ped"}
    assert (config["folds"]["by"], config["folds"]["patients"]) == ("splits.json", "who.csv")
    assert config["init"]["run"] == "fold_0"
    assert config["seed"] == 7
    assert config["optimizer"] == given.as_json()["optimizer"]
    assert config.keys().isdisjoint({"paths", "machine", "cluster", "logger", "run_dir"})


def test_a_name_keeps_what_was_overridden_without_its_folders() -> None:
    given = settings("folds=/home/ada/my study/splits.json", "trainer.max_epochs=5")
    assert given.run_name == "uda/folds=_home_ada_my_study_splits.json,trainer.max_epochs=5"
    assert told_name(given) == "uda/folds=splits.json,trainer.max_epochs=5"
    assert told_name(settings("seed=3")) == "uda/seed=3"


@pytest.mark.parametrize(
    ("overrides", "group"),
    [
        (["seed=3"], "uda"),
        (["seed=3", "trainer.max_epochs=5"], "uda/trainer.max_epochs=5"),
        (["trainer.max_epochs=5", "fold=2"], "uda/trainer.max_epochs=5"),
        (["folds=/home/ada/splits.json", "seed=11"], "uda/folds=splits.json"),
    ],
)
def test_seeds_and_folds_share_a_group(overrides: list[str], group: str) -> None:
    assert about(settings(*overrides)).group == group


def test_tags_and_notes_say_what_a_run_is() -> None:
    told_of = about(settings("logger=wandb", "logger.tags=[dann,mine]", "logger.notes=First.", "variant=[plain,core]"))
    assert told_of.tags == ("uda", "dann", "mine")
    assert told_of.notes == ("First. Trained on adult with labels and ped without; evaluated on ped as plain, core.")


def test_a_name_that_is_cut_has_no_folder_either() -> None:
    folder = Path("/home/ada") / ("a" * 150)
    name = told_name(settings(f"folds={folder}/splits.json"))
    assert "ada" not in name
