"""Every file of conf/model with the experiments that change the network or read its features."""

from typing import Any

import pytest

from pedseg.assembly import build_module
from tests.assembly.test_objects import load
from tests.composed import files

MODELS = files("model")
EXPERIMENTS = ("m1_adult", "uda", "uda_norm", "uda_multilevel", "uda_advent", "uda_combined")


def model_of(config: dict[str, Any]) -> tuple[str, list[int], int]:
    return config["model"]["name"], config["data"]["patch_size"], config["data"]["batch_size"]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("model", MODELS)
def test_every_network_fits_experiments(model: str, experiment: str) -> None:
    cfg, config = load(experiment, f"model={model}")
    network = build_module(cfg, config, spacing_mm=(1.0, 1.0, 1.0)).network
    assert network.name == config["model"]["name"]
    assert len(network.seg_layers) == (len(network.decoder) if experiment == "m1_adult" else 1)
    assert network.topology.features == (4, 8, 16)
    assert network.form.norm == ("batch" if experiment == "uda_norm" else "instance")


def test_the_larger_preset_brings_its_patch_and_batch() -> None:
    """As nnU-Net's planner has them; an experiment's own batch stays, and so does a scale's patch."""
    medium, large = (load("m1_adult", f"model=resenc_{size}", "scale=paper")[1] for size in "ml")
    assert model_of(medium) == ("residual_unet", [128, 128, 128], 2)
    assert model_of(large) == ("residual_unet", [160, 192, 160], 3)
    assert large["model"] == medium["model"]
    assert model_of(load("uda", "model=resenc_l", "scale=paper")[1]) == ("residual_unet", [160, 192, 160], 4)
    assert model_of(load("m1_adult", "model=resenc_l")[1]) == ("residual_unet", [16, 16, 16], 2)
