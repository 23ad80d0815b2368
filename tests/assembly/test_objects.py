"""Data and modules of whole experiments: who gets labels, and how labelled cohorts are opposed."""

from pathlib import Path
from typing import Any

import pytest

from pedseg.assembly import build_data, build_module, select
from pedseg.data.datamodule import PatchDataModule
from pedseg.errors import PedsegError
from pedseg.modules import AdaptationModule, OpposedModule, SegmentationModule
from pedseg.settings.run import RunSettings
from tests.composed import experiments, settings


def load(experiment: str, *overrides: str, store: Path = Path("store")) -> RunSettings:
    """Settings of an experiment."""
    return settings(f"experiment={experiment}", "scale=toy", "fold=0", f"paths.store='{store}'", *overrides)


def made(experiment: str, *overrides: str, store: Path) -> PatchDataModule:
    run = load(experiment, *overrides, store=store)
    return build_data(run, select(run), workers=0)


def cohorts(cases: Any) -> set[str]:
    return {Path(store.folder).name for store, _ in cases}


@pytest.mark.parametrize("experiment", [name for name, config in experiments().items() if config["data"]["target"]])
def test_adaptations_give_the_target_no_label(toy_world: Path, experiment: str) -> None:
    data = made(experiment, store=toy_world / "store")
    assert (cohorts(data.source_cases), cohorts(data.target_cases)) == ({"adult"}, {"ped"})
    assert cohorts(data.validation_cases) == {"adult"}
    assert not data.opposed_cases
    for batch in data.train_dataloader():
        assert sorted(batch["source"]) == ["image", "label"]
        assert sorted(batch["target"]) == ["image"]


def test_the_control_of_2024_opposes_labelled_children(toy_world: Path) -> None:
    """They are the training part of the fold, and none of them is among the source."""
    data = made("uda_released_2024", store=toy_world / "store")
    assert cohorts(data.source_cases) == {"adult"}
    assert cohorts(data.opposed_cases) == {"ped"}
    assert cohorts(data.validation_cases) == {"adult", "ped"}
    assert not data.target_cases
    adapting = made("uda", store=toy_world / "store")
    assert [case for _, case in data.opposed_cases] == [case for _, case in adapting.target_cases]
    for batch in data.train_dataloader():
        assert sorted(batch["source"]) == sorted(batch["target"]) == ["image", "label"]


@pytest.mark.parametrize(
    ("experiment", "kind"),
    [
        ("m3_mixed_nods", SegmentationModule),
        ("m1_adult_strong", AdaptationModule),
        ("uda", AdaptationModule),
        ("uda_released", AdaptationModule),
        ("uda_norm", AdaptationModule),
        ("uda_released_2024", OpposedModule),
    ],
)
def test_modules_of_experiments(experiment: str, kind: type[SegmentationModule]) -> None:
    module = build_module(load(experiment), spacing_mm=(1.0, 1.0, 1.0))
    assert type(module) is kind


@pytest.mark.parametrize("source", ["data.source.ped=null", "~data.source.target"])
def test_opposed_cohorts_have_labels(source: str) -> None:
    """Refused before a store is opened, in the words of the command line."""
    wanted = r"data\.opposed: 'ped' is no labelled cohort of the run; give data\.source\.ped=fold"
    with pytest.raises(PedsegError, match=wanted):
        load("uda_released_2024", source)


def test_opposed_cohorts_need_a_method() -> None:
    """A supervised run without one would leave half of every batch out."""
    with pytest.raises(PedsegError, match=r"data\.opposed=\['ped'\] is for a method that tells the sides apart"):
        build_module(load("uda_released_2024", "adaptation=none"), spacing_mm=(1.0, 1.0, 1.0))
