"""The other networks than the first, through whole runs: trained, adapted, continued, calibrated, predicted."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pedseg.calibration.record import read_thresholds
from pedseg.inference import load_network
from pedseg.modules import AdaptationModule
from pedseg.networks import KINDS
from pedseg.runs import RunFolder
from pedseg.settings.conf import values_of
from tests.composed import files
from tests.training import assert_same_bits, rows, train, weights

NAMED = {file: values_of(f"model/{file}").get("name") for file in files("model")}  # none in variants of another file
KIND_OF = {file: kind for file, kind in NAMED.items() if kind not in (None, "unet")}
TWO_EPOCHS = "trainer.max_epochs=2"


def folder_of(runs: Path, experiment: str) -> RunFolder:
    (found,) = (runs / experiment).rglob("fold_0")
    return RunFolder(found)


@pytest.fixture(scope="module", params=KIND_OF)
def adapted(request: pytest.FixtureRequest, toy_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Name of the model, and its runs: with an adversary, with a mean teacher, with batch norms of the domains."""
    runs = tmp_path_factory.mktemp(request.param)
    model = f"model={request.param}"
    assert train(toy_world, runs, "experiment=uda", model, TWO_EPOCHS) == 0
    later = ("variant=[plain,tent_calibrated]", "variant.tent_calibrated.adapt_steps=1", TWO_EPOCHS)
    assert train(toy_world, runs, "experiment=uda_mean_teacher", model, *later) == 0
    assert train(toy_world, runs, "experiment=uda_norm", model) == 0
    return request.param, runs


@pytest.mark.parametrize(
    ("experiment", "logged"),
    [
        ("uda", {"loss_domain", "gradient_domain", "gradient_seg"}),
        ("uda_mean_teacher", {"loss_consistency", "teacher_sure"}),
        ("uda_norm", set()),
    ],
)
def test_it_is_trained_adapted_and_scored(adapted: Any, experiment: str, logged: set[str]) -> None:
    model, runs = adapted
    folder = folder_of(runs, experiment)
    assert len(rows(folder.variant("plain").scores)) == 3 * 2
    assert len(list(folder.variant("plain").path.glob("*.nii.gz"))) == 2
    last = [row for row in rows(folder.metrics) if row["train/loss"]][-1]
    assert all(float(last[f"train/{name}"]) >= 0 for name in {*logged, "loss_seg"})
    network = load_network(folder.checkpoint).network
    assert network.name == KIND_OF[model]
    assert network.settings["norm"] == ("batch" if experiment == "uda_norm" else "instance")


def test_it_is_calibrated(adapted: Any) -> None:
    """Or found no tumour, which the log says; a network of two steps may."""
    folder = folder_of(adapted[1], "uda_mean_teacher")
    place = folder.variant("tent_calibrated")
    found = read_thresholds(place.thresholds)
    assert found is None or (isinstance(found, list) and len(found) == 3)
    assert len(rows(place.scores)) == 3 * 2


def test_it_continues_exactly(adapted: Any, toy_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, runs = adapted
    begin = AdaptationModule.on_train_epoch_start

    def die(self: AdaptationModule) -> None:
        if self.current_epoch:
            raise RuntimeError("the power fails")
        begin(self)

    command = ("experiment=uda", f"model={model}", TWO_EPOCHS)
    with monkeypatch.context() as patch:
        patch.setattr(AdaptationModule, "on_train_epoch_start", die)
        with pytest.raises(RuntimeError, match="the power fails"):
            train(toy_world, tmp_path, *command)
    folder = folder_of(tmp_path, "uda")
    assert folder.checkpoint.exists()
    assert not folder.finished.exists()
    assert train(toy_world, tmp_path, *command) == 0
    assert_same_bits(weights(folder.path), weights(folder_of(runs, "uda").path))


def test_parts_of_it_are_trained_on(
    adapted: Any, toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is frozen keeps its bits; a network of another kind cannot be started from."""
    model, runs = adapted
    before = folder_of(runs, "uda").path
    start = ("experiment=m2_ped", "init=from_run", f"init.run='{before}'", "trained_parts=[decoder]")
    assert train(toy_world, tmp_path, *start, f"model={model}", "model.deep_supervision=false") == 0
    old, new = weights(before), weights(folder_of(tmp_path, "m2_ped").path)
    for part in ("encoder", "decoder", "seg_layers"):
        names = [name for name in new if name.startswith(f"network.{part}.") and name.endswith("weight")]
        same = [torch.equal(new[name], old[name]) for name in names]
        assert names
        assert all(same) if part != "decoder" else not all(same)
    assert train(toy_world, tmp_path / "other", *start, "model=unet") == 2
    assert f"holds a {KIND_OF[model]}, this run trains a unet; choose the model" in capsys.readouterr().err


def test_every_kind_is_tried() -> None:
    assert {*KIND_OF.values(), "unet"} == set(KINDS)
