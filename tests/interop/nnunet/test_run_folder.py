"""What an imported run is good for: predicting, scoring, reporting, and as the start of a training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from pedseg.commands.convert import main as convert
from pedseg.commands.evaluate import main as evaluate
from pedseg.commands.predict import main as predict
from pedseg.commands.report import main as report
from pedseg.commands.train import main as train
from pedseg.networks import UNet
from pedseg.networks.topology import Topology, plan_topology
from pedseg.runs import RunFolder
from tests.interop.nnunet.world import plans, write_results

PATCH = (16, 16, 16)


def import_network(folder: Path, topology: Topology, *, folds: Sequence[str] = ("0",)) -> Path:
    """Import random networks of a plan at 8 mm as ``runs/theirs``."""
    content: dict[str, Any] = plans(PATCH, spacing=(8.0, 8.0, 8.0))
    arguments, lists = content["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"], topology.as_lists()
    stages = len(topology.features)
    arguments |= {"n_stages": stages, "features_per_stage": lists["features"], "strides": lists["strides"]}
    arguments |= {"kernel_sizes": lists["kernels"], "n_conv_per_stage": 2, "n_conv_per_stage_decoder": 2}
    torch.manual_seed(5)
    networks = {fold: UNet(patch_size=PATCH, deep_supervision=True, **lists) for fold in folds}  # type: ignore[arg-type]
    results = write_results(folder / "results", networks, plans=content)
    assert convert(["from-nnunet", str(results), "--output", str(folder / "runs" / "theirs")]) == 0
    return folder / "runs" / "theirs"


def start_from(run: Path, world: Path, *overrides: str) -> int:
    """Train a toy for one epoch with a learning rate that moves no weight by more than 1e-25, starting from `run`."""
    paths = {"adult": world / "adult", "ped": world / "ped", "store": world / "store", "runs": run.parents[1]}
    settings = ["scale=toy", "fold=0", "init=from_run", f"init.run='{run}'", "optimizer.lr=1e-30", *overrides]
    settings += ["trainer.enable_progress_bar=false", *(f"paths.{name}='{path}'" for name, path in paths.items())]
    return train(settings)


@pytest.mark.slow
def test_it_is_scored_and_reported_like_a_trained_one(toy_world: Path, tmp_path: Path) -> None:
    theirs = import_network(
        tmp_path, plan_topology(patch_size=PATCH, base_features=4, max_features=16), folds=["0", "1"]
    )
    run = RunFolder(theirs / "fold_0")
    arguments = ["--run", str(run.path), "--input", str(toy_world / "ped"), "--output", str(run.variant("plain").path)]
    assert predict([*arguments, "--no-mirror"]) == 0
    labels = ["--predictions", str(run.variant("plain").path), "--labels", str(toy_world / "ped")]
    assert evaluate([*labels, "--output", str(run.variant("plain").scores), "--workers", "1"]) == 0
    assert report([str(theirs.parent), "--output", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report" / "index.html").read_text()
    assert "theirs: 6 cases<" in page
    assert "Incomplete" not in page
    assert "theirs/fold_1" in page  # among the runs without scores


@pytest.mark.slow
def test_a_training_starts_from_its_weights(toy_world: Path, tmp_path: Path) -> None:
    """Heads for deep supervision are taken over by a training that has it, and left out by one that has not."""
    theirs = import_network(tmp_path, plan_topology(patch_size=PATCH, base_features=4, max_features=16))
    given = torch.load(RunFolder(theirs / "fold_0").checkpoint, weights_only=True)["state_dict"]
    for experiment, heads in (("m2_ped", 2), ("m2_ped_nods", 1)):
        assert start_from(theirs / "fold_0", toy_world, f"experiment={experiment}") == 0
        (checkpoint,) = (tmp_path / "runs" / experiment).glob("*/fold_0/checkpoints/last.ckpt")
        weights = torch.load(checkpoint, weights_only=True)["state_dict"]
        networks = {name: value for name, value in weights.items() if name.startswith("network.")}
        assert {name.split(".")[2] for name in networks if "seg_layers" in name} == {str(n) for n in range(heads)}
        assert all(torch.allclose(value, given[name], rtol=0, atol=1e-25) for name, value in networks.items())


@pytest.mark.slow
def test_another_plan_is_named_and_can_be_given(
    toy_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    explicit = Topology.explicit(features=[4, 6], kernels=[[3] * 3] * 2, strides=[[1] * 3, [2] * 3])
    theirs = import_network(tmp_path, explicit)
    assert start_from(theirs / "fold_0", toy_world, "experiment=m2_ped") == 2
    said = capsys.readouterr().err
    assert "its network is of another plan; give '++model.features=[4,6]' '++model.kernels=[[3,3,3],[3,3,3]]'" in said
    overrides = [word.strip("'") for word in said.split("give ")[1].split()]
    assert start_from(theirs / "fold_0", toy_world, "experiment=m2_ped", *overrides) == 0
