"""Every file of conf/model with the experiments that change the network or read its features."""

import pytest

from pedseg.assembly import build_module
from pedseg.settings.run import RunSettings
from tests.assembly.test_objects import load
from tests.composed import files

MODELS = files("model")
EXPERIMENTS = ("m1_adult", "uda", "uda_norm", "uda_multilevel", "uda_advent", "uda_combined")


def model_of(run: RunSettings) -> tuple[str, list[int], int]:
    return run.model.name, list(run.data.patch_size), run.data.batch_size


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("model", MODELS)
def test_every_network_fits_experiments(model: str, experiment: str) -> None:
    run = load(experiment, f"model={model}")
    network = build_module(run, spacing_mm=(1.0, 1.0, 1.0)).network
    assert network.name == run.model.name
    assert len(network.seg_layers) == (len(network.decoder) if experiment == "m1_adult" else 1)
    assert network.topology.features == (4, 8, 16)
    assert network.form.norm == ("batch" if experiment == "uda_norm" else "instance")


def test_the_larger_preset_brings_its_patch_and_batch() -> None:
    """As nnU-Net's planner has them; an experiment's own batch stays, and so does a scale's patch."""
    medium, large = (load("m1_adult", f"model=resenc_{size}", "scale=paper") for size in "ml")
    assert model_of(medium) == ("residual_unet", [128, 128, 128], 2)
    assert model_of(large) == ("residual_unet", [160, 192, 160], 3)
    assert large.model == medium.model
    assert model_of(load("uda", "model=resenc_l", "scale=paper")) == ("residual_unet", [160, 192, 160], 4)
    assert model_of(load("m1_adult", "model=resenc_l")) == ("residual_unet", [16, 16, 16], 2)
