"""Import of result folders and of the released network, down to the runs that come of it."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pedseg.commands.convert import main
from pedseg.commands.predict import main as predict
from pedseg.errors import PedsegError
from pedseg.files import read_json, write_json
from pedseg.inference import load_network
from pedseg.interop.nnunet.importer import import_networks
from pedseg.networks import DomainClassifier, rebuild
from pedseg.runs import RunFolder, checkpoints_of, required_checkpoint
from tests.builders import write_case
from tests.exactness import Exact
from tests.interop.nnunet.world import CLASSES, DATASET, plans, random_network, write_results
from tests.networks.small import randomised

PATCH = (8, 16, 24)


def run_import(*sources: Path, output: Path, **settings: Any) -> list[Path]:
    defaults: dict[str, Any] = {"plans": None, "checkpoint": "checkpoint_final.pth", "trust": False, "overwrite": False}
    return import_networks(sources, output, **(defaults | settings))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    networks = {"0": random_network(PATCH, seed=0), "3": random_network(PATCH, seed=3), "all": random_network(PATCH)}
    return write_results(tmp_path / "nn results", networks, plans=plans(PATCH, spacing=(2.0, 1.0, 1.0)))


def test_every_fold_becomes_a_run(tmp_path: Path, results: Path) -> None:
    output = tmp_path / "runs" / "nn"
    assert run_import(results, output=output) == [output / f"fold_{fold}" for fold in ("0", "3", "all")]
    image = torch.randn(1, 4, *PATCH)
    loaded = load_network(output / "fold_3" / "checkpoints" / "last.ckpt")
    assert torch.equal(loaded.network(image), random_network(PATCH, seed=3)(image))
    assert (loaded.patch_size, loaded.spacing_mm, loaded.mirror_axes) == (PATCH, (2.0, 1.0, 1.0), (0, 1, 2))
    stated = read_json(output / "fold_3" / "config.json")["imported"]
    assert stated["source"] == str(results / "fold_3" / "checkpoint_final.pth")
    assert (stated["trainer"], stated["epoch"], stated["dataset"]) == ("nnUNetTrainer", 1000, "Dataset501_Toy")
    content = torch.load(output / "fold_3" / "checkpoints" / "last.ckpt", weights_only=True)
    assert set(content) == {"pedseg", "sha256", "state_dict"}
    assert len(checkpoints_of(output)) == 3


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("conv_bias", [True, False])
def test_residual_networks_come_in_with_what_their_weights_say(tmp_path: Path, norm: str, conv_bias: bool) -> None:
    settings = random_network(PATCH, kind="residual_unet").settings | {"norm": norm, "conv_bias": conv_bias}
    network = randomised(rebuild(settings)).eval()
    for module in network.modules():  # nnU-Net without biases has none in its transposed convolutions either
        if isinstance(module, torch.nn.ConvTranspose3d) and not conv_bias:
            torch.nn.init.zeros_(module.get_parameter("bias"))
    results = write_results(tmp_path / "r", {"0": network}, plans=plans(PATCH, kind="residual_unet"))
    path = results / "fold_0" / "checkpoint_final.pth"
    checkpoint = torch.load(path, weights_only=False)
    for name in [name for name in checkpoint["network_weights"] if "transpconvs" in name and name.endswith("bias")]:
        if not conv_bias:
            del checkpoint["network_weights"][name]
    torch.save(checkpoint, path)
    (run,) = run_import(results, output=tmp_path / "runs")
    loaded = load_network(RunFolder(run).checkpoint).network
    assert loaded.settings == network.settings
    assert read_json(run / "config.json")["model"]["name"] == "residual_unet"
    image = torch.randn(2, 4, *PATCH)
    with torch.no_grad():
        found, expected = loaded.forward_features(image).logits, network.forward_features(image).logits
    assert all(torch.equal(own, other) for own, other in zip(found, expected, strict=True))


def test_the_runs_predict_together(tmp_path: Path, results: Path) -> None:
    write_case(tmp_path / "in", "BraTS-PED-90001-000")
    assert main(["from-nnunet", str(results), "--output", str(tmp_path / "runs" / "nn")]) == 0
    arguments = ["--run", str(tmp_path / "runs" / "nn"), "--input", str(tmp_path / "in")]
    assert predict([*arguments, "--output", str(tmp_path / "out"), "--step", "1"]) == 0
    assert (tmp_path / "out" / "BraTS-PED-90001-000.nii.gz").exists()


@pytest.mark.parametrize("kind", CLASSES)
def test_channels_regions_and_axes_are_put_in_order(tmp_path: Path, kind: str) -> None:
    """The same network as nnU-Net would hold it: FLAIR first, ET first, axes as x, z, y."""
    network = random_network(PATCH, kind=kind)
    content, dataset = plans(PATCH, spacing=(3.0, 2.0, 1.0), kind=kind), deepcopy(DATASET)
    forward, channels, regions = [2, 0, 1], [3, 0, 2, 1], [2, 0, 1]
    arguments = content["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    for settings, keys in ((content["configurations"]["3d_fullres"], ("patch_size", "spacing")), (arguments, ())):
        for key in keys:
            settings[key] = [settings[key][axis] for axis in forward]
    for key in ("kernel_sizes", "strides"):
        arguments[key] = [[size[axis] for axis in forward] for size in arguments[key]]
    content |= {"transpose_forward": forward, "transpose_backward": [1, 2, 0]}
    names = list(DATASET["channel_names"].values())  # type: ignore[attr-defined]
    dataset["channel_names"] = {str(place): names[channel] for place, channel in enumerate(channels)}
    labels = list(DATASET["labels"].items())[1:]  # type: ignore[attr-defined]
    dataset["labels"] = {"background": 0} | dict(labels[region] for region in regions)
    results = write_results(tmp_path / "results", {"0": network}, plans=content, dataset=dataset)
    path = results / "fold_0" / "checkpoint_final.pth"
    checkpoint = torch.load(path, weights_only=False)
    weights = checkpoint["network_weights"]
    for name, tensor in weights.items():
        if tensor.ndim == 5:
            weights[name] = tensor.permute(0, 1, *(2 + axis for axis in forward))
        if "seg_layers" in name:
            weights[name] = weights[name][regions]
    first = "encoder.stages.0.0.convs.0.conv.weight" if kind == "unet" else "encoder.stem.convs.0.conv.weight"
    weights[first] = weights[first][:, channels]
    torch.save(checkpoint | {"inference_allowed_mirroring_axes": (0, 1)}, path)

    run_import(results, output=tmp_path / "runs" / "nn")
    loaded = load_network(tmp_path / "runs" / "nn" / "fold_0" / "checkpoints" / "last.ckpt")
    assert (loaded.patch_size, loaded.spacing_mm) == (PATCH, (3.0, 2.0, 1.0))
    assert loaded.mirror_axes == (0, 2)  # nnU-Net's 0 and 1 are x and z
    image = torch.randn(1, 4, *PATCH)
    assert torch.equal(loaded.network(image), network(image))


@pytest.mark.parametrize(("allowed", "axes"), [((0, 1, 2), (0, 1, 2)), ((0, 1), (0, 1)), (None, ()), ((), ())])
def test_mirroring_is_as_the_checkpoint_allows(
    tmp_path: Path, allowed: Any, axes: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    results = write_results(
        tmp_path / "r", {"0": random_network(PATCH)}, plans=plans(PATCH), inference_allowed_mirroring_axes=allowed
    )
    (run,) = run_import(results, output=tmp_path / "runs")
    assert load_network(RunFolder(run).checkpoint).mirror_axes == axes
    assert ("mirrorings of" in caplog.text) == (len(axes) < 3)


def test_plans_may_be_in_the_checkpoint_or_given(tmp_path: Path, results: Path) -> None:
    alone = tmp_path / "alone.pth"
    alone.write_bytes((results / "fold_0" / "checkpoint_final.pth").read_bytes())
    with pytest.raises(PedsegError, match=r"no plans.json beside it and none in it; give --plans"):
        run_import(alone, output=tmp_path / "runs")
    assert run_import(alone, output=tmp_path / "given", plans=results / "plans.json") == [tmp_path / "given" / "fold_0"]
    content = torch.load(alone, weights_only=False)
    content["init_args"] |= {"plans": plans(PATCH), "dataset_json": DATASET, "fold": 4}
    torch.save(content, alone)
    assert run_import(alone, output=tmp_path / "held") == [tmp_path / "held" / "fold_4"]
    assert not (tmp_path / "runs").exists()


def test_nothing_is_written_unless_everything_can_be(tmp_path: Path, results: Path) -> None:
    (results / "fold_3" / "checkpoint_final.pth").write_bytes(b"no checkpoint")
    with pytest.raises(PedsegError, match=r"fold_3.checkpoint_final.pth: "):
        run_import(results, output=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    with pytest.raises(PedsegError, match=r"fold_0 is given twice"):
        run_import(results / "fold_0", results / "fold_0", output=tmp_path / "runs")
    with pytest.raises(PedsegError, match=r"no checkpoint_best.pth .* --checkpoint checkpoint_final.pth"):
        run_import(results, output=tmp_path / "runs", checkpoint="checkpoint_best.pth")
    with pytest.raises(PedsegError, match="give nnU-Net's folder"):
        run_import(tmp_path / "absent", output=tmp_path / "runs")


def test_other_weights_are_refused(tmp_path: Path, results: Path) -> None:
    path = results / "fold_0" / "checkpoint_final.pth"
    content = torch.load(path, weights_only=False)
    torch.save(content | {"network_weights": content["network_weights"] | {"extra.weight": torch.ones(1)}}, path)
    with pytest.raises(PedsegError, match=r"1 weights that its plan does not explain \(extra.weight"):
        run_import(path, output=tmp_path / "runs")
    torch.save({"state_dict": {}}, path)
    with pytest.raises(PedsegError, match="no network_weights"):
        run_import(path, output=tmp_path / "runs")


def test_running_again_keeps_what_is_there(tmp_path: Path, results: Path) -> None:
    (run,) = run_import(results / "fold_0", output=tmp_path / "runs")
    (run / "scores.csv").write_text("case,region\n")
    assert run_import(results / "fold_0", output=tmp_path / "runs") == [run]
    assert (run / "scores.csv").exists()
    content = torch.load(results / "fold_0" / "checkpoint_final.pth", weights_only=False)
    torch.save(content | {"current_epoch": 2}, results / "fold_0" / "checkpoint_final.pth")
    with pytest.raises(PedsegError, match="--overwrite"):
        run_import(results / "fold_0", output=tmp_path / "runs")
    run_import(results / "fold_0", output=tmp_path / "runs", overwrite=True)
    assert not (run / "scores.csv").exists()
    assert read_json(run / "config.json")["imported"]["epoch"] == 2


def test_a_trained_run_is_never_replaced(tmp_path: Path, results: Path) -> None:
    own = RunFolder(tmp_path / "runs" / "fold_0")
    write_json(own.config, {"fold": 0})
    with pytest.raises(PedsegError, match="cannot be read as settings of a run"):
        run_import(results, output=tmp_path / "runs", overwrite=True)
    assert read_json(own.config) == {"fold": 0}
    assert not (tmp_path / "runs" / "fold_3").exists()


def released(tmp_path: Path, shared: Path) -> Path:
    """Import the fixture of the released network, by plans written from its description."""
    settings = json.loads((shared / "fixtures" / "da_nnunet_small.json").read_text())
    content = plans(settings["patch_size"])
    architecture = content["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    stages = len(settings["features"])
    architecture |= {
        "n_stages": stages,
        "features_per_stage": settings["features"],
        "kernel_sizes": [[settings["kernel"]] * 3] * stages,
        "strides": settings["strides"],
        "n_conv_per_stage": [2] * stages,
        "n_conv_per_stage_decoder": [2] * (stages - 1),
    }  # norm_op stays InstanceNorm3d: the released trainer puts batch norms whatever the plan says
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "plans.json").write_text(json.dumps(content))
    (tmp_path / "plans" / "dataset.json").write_text(json.dumps(DATASET))
    (run,) = run_import(
        shared / "fixtures" / "da_nnunet_small.pth",
        output=tmp_path / "runs" / "da",
        plans=tmp_path / "plans" / "plans.json",
    )
    return run


SEGMENTATION = "Logits of the released network (batch norms), imported: segmentation"
DOMAIN = "Logits of the released network (batch norms), imported: domain classifier"


@pytest.mark.exact(SEGMENTATION, section="Interoperation", peer="released network of Fu et al.", tolerance=1e-5)
@pytest.mark.exact(DOMAIN, section="Interoperation", peer="released network of Fu et al.", tolerance=1e-5)
def test_the_released_network(tmp_path: Path, shared: Path, exact: Exact) -> None:
    """Both networks come back from the run's checkpoint alone; the reference puts the target first."""
    run = released(tmp_path, shared)
    expected = torch.load(shared / "fixtures" / "da_nnunet_small_expected.pt", weights_only=True)
    network = load_network(RunFolder(run).checkpoint).network
    content = torch.load(RunFolder(run).checkpoint, weights_only=True)
    ((stage, settings),) = content["pedseg"]["adaptation"]["dann"]["classifiers"].items()
    classifier = DomainClassifier(**settings).eval()
    prefix = f"methods.dann.classifiers.{stage}."
    weights = {k.removeprefix(prefix): v for k, v in content["state_dict"].items() if k.startswith(prefix)}
    classifier.load_state_dict(weights)
    assert (stage, settings["blocks"]) == ("3", 4)
    with torch.no_grad():
        output = network.forward_features(expected["image"])
        domain_logits = classifier(output.decoder[int(stage) - 1])
    exact((output.logits[0] - expected["seg_logits"]).abs().max(), SEGMENTATION)
    exact((domain_logits - expected["domain_logits"].flip(1)).abs().max(), DOMAIN)


def test_an_imported_run_counts_as_finished(tmp_path: Path, results: Path) -> None:
    (run,) = run_import(results / "fold_0", output=tmp_path / "runs")
    assert required_checkpoint(run) == RunFolder(run).checkpoint
    assert np.isclose(read_json(run / "config.json")["model"]["spacing_mm"], [2.0, 1.0, 1.0]).all()


HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "a fold that leads out": ({"init_args": {"fold": "x/../../../../escape"}}, "fold .*give the number of a fold"),
    "a configuration that leads out": ({"init_args": {"configuration": "../x"}}, r"configuration '\.\./x'"),
    "arguments that are none": ({"init_args": ["x"]}, "init_args"),
    "an epoch that is none": ({"current_epoch": "$__import__('os')"}, "current_epoch"),
    "an axis that is none": ({"inference_allowed_mirroring_axes": (7,)}, "inference_allowed_mirroring_axes"),
    "NaN": ({"network_weights": {"x": torch.tensor(float("nan"))}}, "its x holds NaN"),
    "one number many times": ({"network_weights": {"x": torch.zeros(1).expand(10**12)}}, "no tensor that can be"),
    "scalars": ({"network_weights": {"encoder.stages.0.0.convs.0.conv.weight": torch.ones(())}}, r"last\.pth"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_checkpoints_are_refused_and_write_nothing(tmp_path: Path, name: str) -> None:
    content, message = HOSTILE[name]
    folder = write_results(tmp_path / "r", {"0": random_network(PATCH)}, plans=plans(PATCH), **content)
    (folder / "fold_0" / "checkpoint_final.pth").rename(folder / "last.pth")  # its folder names no fold
    with pytest.raises(PedsegError, match=message):
        run_import(folder / "last.pth", output=tmp_path / "a" / "b" / "runs")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r"]


def test_flipped_bits_are_found(tmp_path: Path, results: Path) -> None:
    path = results / "fold_0" / "checkpoint_final.pth"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(PedsegError, match=r"checkpoint_final\.pth: is damaged \(\w+/data/"):
        run_import(results, output=tmp_path / "runs")
