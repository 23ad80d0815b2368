"""Configurations of before: what they become, and what a command line of before is told."""

from typing import Any

import pytest

from pedseg.settings.history import advice_on, lifted, moved
from tests.composed import experiment, experiments

# The group as runs were recorded with it, of the experiments uda_multilevel and uda_entropy_prior at scale=toy.
CLASSIFIER = {"blocks": 3, "channels": 8, "shared_blocks": False, "pooling": "average", "norm": "instance"}
MULTILEVEL = {
    "methods": {"dann": True},
    "alpha_max": 3.0,
    "alpha_start": 0.2,
    "alpha_end": 0.7,
    "lambda_domain": 0.01,
    "decoder_stage": [0, 2, -2],
    "reads": "features",
    "classifier": CLASSIFIER,
}
SEVERAL = {
    "classifier": {"blocks": 3, "channels": 8},  # that of the scale, though nothing reads it
    "methods": {"strong": True, "entropy": True, "prior": True},
    "strong": {"probability": 0.8, "strength": 0.5, "sides": ["source", "target"]},
    "entropy": {"weight": 0.5, "start": 0.2, "end": 0.6},
    "prior": {
        "weight": 1.0,
        "start": 0.2,
        "end": 0.6,
        "bounds": {"tc": [0.85, 1.0], "et": [0.05, 0.35]},
        "fewest_voxels": 50,
    },
}


@pytest.mark.parametrize(("name", "before"), [("uda_multilevel", MULTILEVEL), ("uda_entropy_prior", SEVERAL)])
def test_what_was_recorded_becomes_what_is_composed_today(name: str, before: dict[str, Any]) -> None:
    """So that a run of before goes on."""
    config = experiments()[name]
    assert lifted({**config, "adaptation": before}) == config


def test_methods_that_were_off_are_left_out() -> None:
    off = {**SEVERAL, "methods": {"strong": True, "entropy": False, "prior": False}}
    assert list(lifted({"adaptation": off})["adaptation"]) == ["strong"]
    assert lifted({"adaptation": {"methods": {}, "classifier": CLASSIFIER}})["adaptation"] == {}


def test_what_has_the_present_shape_stays() -> None:
    whole = experiment("uda_combined")
    assert lifted(whole) == whole


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("adaptation.alpha_max=5", "alpha_max is adaptation.dann.alpha_max now; give adaptation.dann.alpha_max=5"),
        ("adaptation.lambda_domain=0.1,1", "give adaptation.dann.lambda_domain=0.1,1"),
        ("+adaptation.classifier.blocks=2", "give +adaptation.dann.classifier.blocks=2"),
        ("adaptation.classifier={blocks: 2}", "give adaptation.dann.classifier={blocks: 2}"),
        ("~adaptation.methods.dann", "methods are switched off by ~adaptation.dann and chosen by adaptation=dann"),
        ("adaptation.methods.dann=false", "methods are switched off by ~adaptation.dann"),
        ("+adaptation.methods.prior=true", "or adaptation=[..., prior]"),
        ("adaptation.methods={}", "chosen by adaptation=NAME"),
    ],
)  # fmt: skip
def test_settings_of_before_are_refused_with_their_present_names(override: str, said: str) -> None:
    advice = advice_on(override)
    assert advice is not None
    assert advice.startswith(f"{override}: ")
    assert said in advice


def test_settings_of_today_are_not_refused() -> None:
    for today in ("adaptation=[strong,dann]", "adaptation.dann.alpha_max=5", "~adaptation.dann", "seed=1", "a b"):
        assert advice_on(today) is None
    assert moved("adaptation.mean_teacher.weight") is None
    assert moved("model.classifier") is None


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"kind": "csv"}, {}),
        ({"kind": "wandb", "project": "mine", "offline": True}, {"wandb": True, "project": "mine", "offline": True}),
        ({"wandb": True, "mlflow": True}, {"wandb": True, "mlflow": True}),
    ],
)
def test_one_logger_by_its_kind_becomes_one_of_several(before: dict[str, Any], now: dict[str, Any]) -> None:
    assert lifted({**experiments()["uda"], "logger": before})["logger"] == now
