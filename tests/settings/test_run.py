"""The settings of runs and preparations: every file of conf/ fits them, and what cannot be used is named."""

import json
import re
from typing import Any

import pytest
from omegaconf import OmegaConf
from pydantic import TypeAdapter

from pedseg.commands.hydra_run import compose
from pedseg.errors import PedsegError
from pedseg.settings.conf import conf_dir, groups
from pedseg.settings.keys import root
from pedseg.settings.names import deciding, run_name
from pedseg.settings.page import words
from pedseg.settings.run import PrepareSettings, RunSettings
from tests.composed import plain as config
from tests.composed import settings

SCALES = groups()["scale"]
OPTIONS = [
    f"{group}={option}"
    for group, options in groups().items()
    for option in options
    if group not in ("scale", "sweep", "regime", "init", "experiment", "cluster", "paths")
]


def refused(**changed: Any) -> str:
    """What is said of settings."""
    with pytest.raises(PedsegError) as raised:
        settings(**changed)
    return str(raised.value)


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_fits_and_is_read_back_as_it_was(scale: str) -> None:
    run = settings("experiment=uda", f"scale={scale}")
    assert RunSettings.of(json.loads(json.dumps(run.as_json()))) == run
    assert compose(PrepareSettings, [f"scale={scale}"], config_name="prepare").data.cohorts == run.data.cohorts


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_every_group_fits(option: str) -> None:
    more = ["model.norm=batch"] if option == "adaptation=norm" else []
    run = settings("experiment=uda", re.sub("^cohort=(.*)", r"cohort=[adult,ped,\1]", option), *more)
    assert RunSettings.of(run.as_json()) == run


@pytest.mark.parametrize("model", [RunSettings, PrepareSettings])
def test_what_may_be_null_is_null(model: type[RunSettings] | type[PrepareSettings]) -> None:
    """Limits of a number do not ask null whether it is above them."""
    free = {key.name: key.annotation for key in root(model).leaves() if words(key.annotation).endswith("or null")}
    assert free
    assert {name: TypeAdapter(kind).validate_python(None) for name, kind in free.items()} == dict.fromkeys(free)


@pytest.mark.parametrize("option", ["local", "slurm"])
def test_a_job_of_a_cluster_is_read_back_as_it_was(option: str) -> None:
    conf: Any = OmegaConf.to_container(OmegaConf.load(conf_dir() / "cluster" / f"{option}.yaml"))
    run = settings(cluster={**conf["cluster"], "parallel": 2})
    assert run.cluster is not None
    assert RunSettings.of(json.loads(json.dumps(run.as_json()))) == run


def test_every_fault_is_told_at_once_and_by_its_key() -> None:
    said = refused(
        seed=-1,
        fold=True,
        data={"patch_size": [16, 0, 16], "augmentation": "strong", "cohorts": {"ped": {"labelled": "maybe"}}},
        trainer={"max_epoch": 3, "max_epochs": 0, "max_time": "12h", "devices": "many"},
        optimizer={"lr": 0},
        variant={"mine": {"shares": {"wt": 0.5}}},
    )
    assert said.splitlines() == [
        "data.cohorts.ped.labelled='maybe': give true or false",
        "data.patch_size.1=0: should be greater than or equal to 1; give such a number",
        "data.augmentation='strong': should be 'nnunet' or 'none'",
        "fold=True: give the number of a fold, from 0, or all",
        "seed=-1: should be greater than or equal to 0; give such a number",
        "optimizer.lr=0: should be greater than 0; give such a number",
        "variant.mine.shares.wt='wt': should be 'tc' or 'et'",
        "trainer.devices='many': give auto, a number of 1 or more, or a list of indices such as [0,1]",
        "trainer.max_epochs=0: should be greater than or equal to 1; give such a number",
        "trainer.max_time='12h': give days, hours, minutes and seconds as DD:HH:MM:SS, such as 00:12:00:00",
        "trainer.max_epoch is unknown; did you mean max_epochs?",
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data": {"evaluation": "pedd"}}, "data.evaluation: pedd is not among data.cohorts; did you mean ped?"),
        ({"data": {"source": {"kids": "fold"}}}, "data.source: kids is not among data.cohorts"),
        ({"paths": {"kids": "/k"}}, "paths: kids is not among data.cohorts"),
        ({"data": {"source": {"adult": None}}}, "data.source: names no labelled cohort to train on"),
        ({"data": {"cohorts": {"adult": {"labelled": "no"}}}}, "data.source.adult: trains with labels, and"),
        ({"data": {"target": ["adult"]}}, "adult is both source and target"),
        ({"data": {"opposed": ["ped"]}}, "'ped' is no labelled cohort of the run; give data.source.ped=fold"),
        ({"variant": {"mine": {"shares": {"tc": 0.9}}}}, "give variant.mine.target=[ped]"),
        ({"variant": {"mine": {"target": ["ped"]}}}, "variant.mine.target: no thresholds are found there"),
        ({"variant": {"mine": {"rules": "peds2023", "of": "yours"}}}, "give variant=[yours,mine]"),
        (
            {"variant": {"mine": {"rules": "peds2023"}, "more": {"rules": "peds2023", "of": "mine"}}},
            "mine is cleared up",
        ),
        ({"variant": {"mine": {"shares": {"tc": 0.9}, "target": ["pedd"]}}}, "variant.mine.target: pedd is not among"),
        ({"cluster": {"gpus": 4}}, "give trainer=ddp trainer.devices=4"),
    ],
)
def test_what_does_not_fit_together_is_named(changed: dict[str, Any], said: str) -> None:
    assert said in refused(**changed)


@pytest.mark.parametrize(("text", "meant"), [("no", False), ("off", False), ("YES", True), ("on", True), ("1", True)])
def test_words_for_true_and_false_are_understood(text: str, meant: bool) -> None:
    run = settings(overwrite=text, callbacks={"images": text}, data={"cohorts": {"ped": {"labelled": text}}})
    assert (run.overwrite, run.callbacks.images, run.data.cohorts["ped"].labelled) == (meant, meant, meant)


def test_none_is_null_where_null_may_be() -> None:
    run = settings(trainer={"gradient_clip_val": "none"}, init={"run": "null"}, data={"augmentation": "none"})
    assert (run.trainer.gradient_clip_val, run.init.run, run.data.augmentation) == (None, None, "none")
    assert "trainer.max_epochs='none': give a whole number" in refused(trainer={"max_epochs": "none"})


def test_a_run_is_its_deciding_settings() -> None:
    """What may change between two calls of one run, and what may not: an example of each mark."""
    before = deciding(settings("experiment=uda"))
    elsewhere = settings(
        "experiment=uda",
        paths={"adult": "/a", "runs": "/r"},
        data={"store": "/s", "num_workers": 3, "cohorts": {"ped": {"folder": "/p"}}},
        trainer={"devices": 2, "strategy": "ddp", "max_time": "00:01:00:00", "max_steps": 5, "fast_dev_run": True},
        logger={"wandb": True},
        callbacks={"images": True, "checkpoint_every": 1},
        init={"run": "elsewhere"},
        variant={"tent": {"adapt_steps": 3}},
        run_name="other",
        overwrite=True,
    )
    assert deciding(elsewhere) == before
    other = settings(
        "experiment=uda", fold=1, data={"cohorts": {"ped": {"convention": "auto"}}}, prediction={"step": 0.25}
    )
    changed = {key for key, value in deciding(other).items() if before.get(key) != value}
    assert changed == {"fold", "data.cohorts.ped.convention", "prediction.step"}


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("data.cohorts.my-kids.folder=/x", False), ("paths.my-kids=/x", False), ("+paths.kids=/x", False),
        ("variant=[plain,tent]", False), ("variant.tent.adapt_steps=3", False),
        ("data.store=/x", False), ("data.num_workers=2", False), ("trainer.accelerator=cpu", False),
        ("trainer.max_time=00:00:01:00", False), ("trainer.max_steps=3", False), ("logger=wandb", False),
        ("callbacks.images=true", False), ("cluster=slurm", False), ("hydra/launcher=joblib", False),
        ("sweep=folds", False), ("scale=demo", False), ("fold=3", False), ("overwrite=true", False),
        ("trainer=ddp", True), ("trainer.sync_batchnorm=true", True), ("data=phantom", True), ("folds=published", True),
        ("init.run=/x", True), ("run_fold=all", True), ("data.cohorts.ped.labelled=false", True),
        ("+data.source.kids=all", True), ("~data.source.ped", True), ("model.name=unet", True),
    ],
)  # fmt: skip
def test_what_names_a_run(override: str, named: bool) -> None:
    assert (run_name("uda", [override]) != "uda") == named


def test_every_file_of_conf_is_looked_at() -> None:
    assert {path.name for path in conf_dir().iterdir() if path.is_dir()} == set(groups())
    assert config()["seed"] == 0
