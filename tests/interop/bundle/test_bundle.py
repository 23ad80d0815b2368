"""MONAI bundles: what MONAI runs is what predict writes, without pedseg installed; nothing half written."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pedseg.commands.convert import main
from pedseg.commands.predict import main as predict
from pedseg.errors import PedsegError, ProblemsError
from pedseg.imaging import read_label
from pedseg.inference import load_network
from pedseg.interop.bundle import export
from pedseg.interop.bundle.config import literal
from pedseg.interop.bundle.export import export_bundle
from pedseg.networks import KINDS
from tests.builders import write_case, write_checkpoint
from tests.exactness import Exact
from tests.networks.small import EVERY

pytest.importorskip("fire")
monai: Any = pytest.importorskip("monai.bundle")

CASES = ("BraTS-PED-90001-000", "BraTS-PED-90002-000")
HIDE_CHECKOUT = """
import atexit, os, sys
sys.path[:] = [p for p in sys.path if not os.path.exists(os.path.join(p, "pedseg", "__init__.py"))]
def say():
    module = sys.modules.get("pedseg")
    if module:
        print("pedseg is", module.__file__)
atexit.register(say)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cases, two runs, and the bundles of the first and of both."""
    root = tmp_path_factory.mktemp("a world")
    write_case(root / "in put", CASES[0], seed=1)
    write_case(root / "in put", CASES[1], shape=(17, 25, 21), seed=2)
    for fold in (0, 1):
        write_checkpoint(root / "uda" / f"fold_{fold}" / "checkpoints" / "last.ckpt", seed=fold)
    for name, run in (("one net", root / "uda" / "fold_0"), ("two nets", root / "uda")):
        assert main(["to-bundle", str(run), "--output", str(root / name)]) == 0
    return root


def run_here(root: Path, monkeypatch: pytest.MonkeyPatch, **overrides: Any) -> None:
    """Run a bundle in this process, as its command does."""
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monai.run(config_file="configs/inference.json", **overrides)


def differing(first: Path, second: Path) -> float:
    """Part of the voxels of both cases that differ."""
    pairs = [[read_label(folder / f"{case}.nii.gz") for folder in (first, second)] for case in CASES]
    assert all(a.any() for a, _ in pairs)
    return sum(int((a != b).sum()) for a, b in pairs) / sum(a.size for a, _ in pairs)


@pytest.mark.exact(
    "Label maps of `python -m monai.bundle run`, in a Python without pedseg, and of `pedseg predict` "
    "(two random cases, random network, float32, mirrored)",
    section="Interoperation",
    peer="monai",
    tolerance=0,
    unit="of the voxels",
)
def test_monai_runs_it_without_pedseg(world: Path, tmp_path: Path, exact: Exact) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDE_CHECKOUT)
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json"]
    done = subprocess.run(
        [*command, "--dataset_dir", "../in put", "--output_dir", str(tmp_path / "by monai")],
        cwd=world / "one net",
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"pedseg is {world / 'one net' / 'scripts' / 'pedseg' / '__init__.py'}" in done.stdout
    ours = ["--run", str(world / "uda" / "fold_0"), "--input", str(world / "in put"), "--precision", "32"]
    assert predict([*ours, "--output", str(tmp_path / "by pedseg")]) == 0
    exact(differing(tmp_path / "by monai", tmp_path / "by pedseg"))


@pytest.mark.exact(
    "Label maps of a bundle of two networks run by MONAI and of `pedseg predict` (BraTS 2021 labels, step "
    "0.75, not mirrored)",
    section="Interoperation",
    peer="monai",
    tolerance=0,
    unit="of the voxels",
)
def test_ensemble_with_other_settings(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact: Exact
) -> None:
    ours = ["--run", str(world / "uda"), "--input", str(world / "in put"), "--precision", "32", "--no-mirror"]
    output = tmp_path / "by pedseg"
    assert predict([*ours, "--output", str(output), "--step", "0.75", "--convention", "brats2021"]) == 0
    folders = {"dataset_dir": str(world / "in put"), "output_dir": str(tmp_path / "by monai")}
    settings = {"mirror": False, "step": 0.75, "convention": "brats2021", "precision": 32, "device": "cpu"}
    run_here(world / "two nets", monkeypatch, **folders, **settings)
    assert set(np.unique(read_label(output / f"{CASES[0]}.nii.gz"))) <= {0, 1, 2, 4}
    exact(differing(tmp_path / "by monai", output))


@pytest.mark.exact(
    "Label maps of bundles of a network with a residual encoder and of a SegResNet run by MONAI and of `python -m "
    "pedseg.predict` (float32, mirrored)",
    section="Interoperation",
    peer="monai",
    tolerance=0,
    unit="of the voxels",
)
@pytest.mark.parametrize("name", [name for name in EVERY if name != "unet"])
def test_other_kinds_of_networks(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, exact: Exact
) -> None:
    path = write_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt", network=name)
    export_bundle([path], tmp_path / "bundle")
    ours = ["--checkpoint", str(path), "--input", str(world / "in put"), "--precision", "32"]
    assert predict([*ours, "--output", str(tmp_path / "by pedseg")]) == 0
    folders = {"dataset_dir": str(world / "in put"), "output_dir": str(tmp_path / "by monai")}
    run_here(tmp_path / "bundle", monkeypatch, **folders)
    metadata = json.loads((tmp_path / "bundle" / "configs" / "metadata.json").read_text())
    assert KINDS[name].title in metadata["description"]
    assert KINDS[name].title in (tmp_path / "bundle" / "docs" / "README.md").read_text()
    exact(differing(tmp_path / "by monai", tmp_path / "by pedseg"))


def test_networks_that_may_not_be_mirrored_everywhere(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    content = torch.load(path, weights_only=True)
    content["pedseg"]["mirror_axes"] = [1]
    torch.save(content, path)
    export_bundle([path], tmp_path / "bundle")
    ours = ["--checkpoint", str(path), "--input", str(world / "in put"), "--precision", "32"]
    assert predict([*ours, "--output", str(tmp_path / "by pedseg")]) == 0
    folders = {"dataset_dir": str(world / "in put"), "output_dir": str(tmp_path / "by monai")}
    run_here(tmp_path / "bundle", monkeypatch, **folders)
    assert differing(tmp_path / "by monai", tmp_path / "by pedseg") == 0
    run_here(tmp_path / "bundle", monkeypatch, **folders | {"output_dir": "eval"}, mirror_axes=[0, 1, 2])
    assert differing(tmp_path / "bundle" / "eval", tmp_path / "by pedseg") > 0


def test_monai_finds_what_it_asks_for(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = world / "one net"
    metadata = json.loads((root / "configs" / "metadata.json").read_text())
    assert not monai.utils.DEFAULT_METADATA.keys() - metadata.keys()
    image, pred = metadata["network_data_format"]["inputs"]["image"], metadata["network_data_format"]["outputs"]["pred"]
    specified = "type format num_channels spatial_shape dtype value_range is_patch_data channel_def"
    assert not set(specified.split()) - (image.keys() & pred.keys())
    assert (image["modality"], image["spatial_shape"], pred["num_channels"]) == ("MR", [16, 16, 16], 3)
    assert [name[:3] for name in image["channel_def"].values()] == ["t1n", "t1c", "t2w", "t2f"]
    assert [name[-3:-1] for name in pred["channel_def"].values()] == ["WT", "TC", "ET"]
    assert metadata["required_packages_version"].keys() >= {"fire", "nibabel", "scipy", "fill-voids", "isal", "rich"}
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "path", list(sys.path))
    files = {"config_file": "configs/inference.json", "meta_file": "configs/metadata.json"}
    workflow = monai.ConfigWorkflow(**files, workflow_type="inference", dataset_dir="../in put")
    workflow.initialize()
    assert workflow.check_properties() == []
    monai.verify_net_in_out("network_def", **files, device="cpu")
    network = monai.load(
        name="one net", bundle_dir=str(world), workflow_type="inference", device="cpu", source="github"
    )
    expected = load_network(world / "uda" / "fold_0" / "checkpoints" / "last.ckpt").network.state_dict()
    assert network.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())
    patches = torch.rand(2, 4, 16, 16, 16)
    with torch.inference_mode():
        logits = workflow.inferer(patches, network.eval())
        flips: list[list[int]] = [[], [2], [3], [4], [2, 3], [2, 4], [3, 4], [2, 3, 4]]
        mirrored = torch.stack([network(patches.flip(axes)).flip(axes) for axes in flips])
    torch.testing.assert_close(logits, mirrored.mean(0), atol=1e-5, rtol=1e-5)


def test_contents(world: Path) -> None:
    root = world / "two nets"
    assert sorted(path.name for path in root.glob("[!.]*")) == ["LICENSE", "configs", "docs", "models", "scripts"]
    assert sorted(path.name for path in (root / "models").iterdir()) == ["model.pt", "model_2.pt"]
    sources = {path.relative_to(root / "scripts").as_posix() for path in (root / "scripts").rglob("*.py")}
    networks = {f"pedseg/networks/{name}.py" for name in ("kinds", "unet", "residual", "foreign")}
    assert {"pedseg/__init__.py", "pedseg/interop/bundle/inference.py", *networks} <= sources
    assert not {name for name in sources if name.split("/")[1] in {"data", "modules", "analysis", "train.py"}}
    text = (root / "docs" / "README.md").read_text()
    assert "no medical device" in text
    assert "'monai<2,>=1.4'" in text
    assert "- `models/model_2.pt`" in text
    assert "Apache License" in (root / "LICENSE").read_text()
    everything = b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())
    assert str(world).encode() not in everything


def test_bad_cases_are_named_and_the_rest_predicted(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(world / "in put", tmp_path / "in")
    (tmp_path / "in" / CASES[1] / f"{CASES[1]}-t2w.nii.gz").unlink()
    settings = {"dataset_dir": str(tmp_path / "in"), "output_dir": str(tmp_path / "out"), "mirror": False}
    with pytest.raises(RuntimeError) as error:  # MONAI wraps what an expression raises
        run_here(world / "one net", monkeypatch, **settings)
    assert isinstance(error.value.__cause__, ProblemsError)
    (problem,) = error.value.__cause__.problems
    assert (problem.case, problem.what) == (CASES[1], "no t2w image")
    assert [path.name for path in (tmp_path / "out").glob("*.nii.gz")] == [f"{CASES[0]}.nii.gz"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"precision": 8}, "precision 8 is unknown; use one of 32, bf16, 16"),
        ({"convention": "nonsense"}, "label convention 'nonsense' is unknown"),
        ({"models": ["models/x.pt"]}, "x.pt: no such model"),
        ({"network_def#settings#base_features": 8}, "model.pt: is damaged or of another network"),
    ],
)
def test_wrong_settings(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: dict[str, Any], message: str
) -> None:
    folders = {"dataset_dir": str(world / "in put"), "output_dir": str(tmp_path / "out")}
    with pytest.raises((PedsegError, RuntimeError)) as error:  # MONAI wraps what a component raises
        run_here(world / "one net", monkeypatch, **folders, **setting)
    assert message in f"{error.value} {error.value.__cause__}"
    assert not (tmp_path / "out").exists()


def test_whole_or_not_at_all(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = world / "uda" / "fold_0" / "checkpoints" / "last.ckpt"
    output = tmp_path / "deep" / "bundle"
    with pytest.raises(PedsegError, match="no such checkpoint"):
        export_bundle([checkpoint, tmp_path / "absent.ckpt"], output)
    assert not list(tmp_path.iterdir())
    command = export_bundle([checkpoint], output)
    assert command.startswith(f"cd {output} && python -m monai.bundle run --config_file configs/inference.json")

    def fail(modules: Sequence[str]) -> None:
        raise PedsegError("broken")

    monkeypatch.setattr(export, "requirements", fail)
    with pytest.raises(PedsegError, match="broken"):
        export_bundle([checkpoint, checkpoint], output, overwrite=True)
    assert [path.name for path in output.parent.iterdir()] == ["bundle"]
    assert not (output / "models" / "model_2.pt").exists()
    monkeypatch.undo()
    export_bundle([checkpoint, checkpoint], output, overwrite=True)
    assert [path.name for path in output.parent.iterdir()] == ["bundle"]
    assert (output / "models" / "model_2.pt").exists()


def test_refusals(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["to-bundle", str(world / "uda" / "fold_0"), "--output", str(tmp_path / "mine")]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    assert main(command) == 2
    assert "mine exists" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 2
    assert "was not written by pedseg" in capsys.readouterr().err
    assert (tmp_path / "mine" / "thesis.txt").exists()
    write_checkpoint(tmp_path / "other" / "checkpoints" / "last.ckpt", patch_size=(16, 16, 32))
    command[2:2] = [str(tmp_path / "other")]
    command[-1] = str(tmp_path / "new")
    assert main(command) == 2
    assert "differ in network, thresholds, patch" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("bad", ["$1", "@x", "%file", " $1", {"_target_": "os.system"}, {"$k": 1}, {"a::b": 1}, {1: 2}])
def test_what_monai_would_evaluate_is_not_written(bad: Any) -> None:
    for value in (bad, [1, [bad]], {"a": {"b": [bad]}}):
        with pytest.raises(PedsegError, match="a bundle cannot hold"):
            literal(value)
    assert literal({"a": [1, 2.5, None, True, "text"]}) == {"a": [1, 2.5, None, True, "text"]}


def test_a_checkpoint_with_code_makes_no_bundle(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    content = torch.load(path, weights_only=True)
    content["pedseg"]["mirror_axes"] = [f"$open({str(tmp_path / 'ran')!r}, 'w')"]
    torch.save(content, path)
    with pytest.raises(PedsegError, match=r"last\.ckpt: mirror_axes"):
        export_bundle([path], tmp_path / "bundle")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run"]
