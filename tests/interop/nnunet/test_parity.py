"""A network that nnU-Net trained, imported: its logits, and its label maps of a real case, against nnU-Net's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pedseg.commands.convert import main as convert
from pedseg.commands.predict import main as predict
from pedseg.inference import load_network
from tests.exactness import Exact
from tests.interop.nnunet.world import predict_with_nnunet, train_with_nnunet

CASE = "UPENN-GBM-00006_11"
MODALITIES = ("t1", "t1ce", "t2", "flair")
PATCH = (48, 64, 56)
FOLDS = (0, 1)
# Sums in float32, and as nnU-Net has them: in half precision, which rounds logits by up to a thousandth of their size,
# so that those next to 0 change sides. How many lie there is the network's own affair.
REQUESTS: dict[str, dict[str, Any]] = {
    "one fold": {"folds": [0], "mirror": False, "step": 0.5, "sums": "float32"},
    "one fold, mirrored": {"folds": [0], "mirror": True, "step": 1.0, "sums": "float32"},
    "two folds": {"folds": [0, 1], "mirror": False, "step": 1.0, "sums": "float32"},
    "two folds, mirrored": {"folds": [0, 1], "mirror": True, "step": 1.0, "sums": "float32"},
    "one fold, half precision": {"folds": [0], "mirror": False, "step": 1.0, "sums": "half"},
}
RESIDUAL_LOGITS = "Logits of a patch by a residual network that nnU-Net trained, imported"
RESIDUAL_MAP = (
    "Label map of a real case by nnU-Net's own trained residual network, imported: one fold, mirrored (its sums in "
    "float32)"
)
SUBJECT = "Label map of a real case by nnU-Net's own trained network, imported: "


@dataclass(frozen=True)
class World:
    """A network that nnU-Net trained, what its predictor makes of a case, and the same imported.

    Attributes:
        theirs: what nnU-Net predicted.
        runs: imported runs.
        input: folder with the case.
    """

    theirs: dict[str, Any]
    runs: Path
    input: Path


@pytest.fixture(scope="module")
def world(peers_python: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("nnU-Net")
    return make_world(peers_python, shared, folder, folds=FOLDS, requests=list(REQUESTS.values()))


def make_world(
    peers_python: Path,
    shared: Path,
    folder: Path,
    *,
    folds: Sequence[int],
    requests: Sequence[dict[str, Any]],
    kind: str = "unet",
) -> World:
    results = train_with_nnunet(peers_python, folder, patch=PATCH, folds=folds, kind=kind)
    theirs = predict_with_nnunet(
        peers_python,
        folder,
        results=str(results),
        images=[str(shared / "real" / CASE / f"{CASE}_{modality}.nii.gz") for modality in MODALITIES],
        requests=requests,
        patch=PATCH,
        folds=folds,
    )
    assert convert(["from-nnunet", str(results), "--output", str(folder / "runs" / "nnunet")]) == 0
    (folder / "in").mkdir()
    (folder / "in" / CASE).symlink_to(shared / "real" / CASE, target_is_directory=True)
    return World(theirs, folder / "runs" / "nnunet", folder / "in")


@pytest.mark.slow
@pytest.mark.exact(
    "Logits of a patch by a network that nnU-Net trained, imported: two folds",
    section="Interoperation",
    peer="nnunetv2",
    tolerance=1e-5,
)
def test_logits_equal_nnunets(world: World, exact: Exact) -> None:
    for fold in FOLDS:
        network = load_network(world.runs / f"fold_{fold}" / "checkpoints" / "last.ckpt").network
        with torch.no_grad():
            difference = network(world.theirs["patch"]) - world.theirs[f"logits {fold}"]
        assert world.theirs[f"logits {fold}"].std() > 0.1
        exact(difference.abs().max())


@pytest.mark.slow
@pytest.mark.exact(
    RESIDUAL_LOGITS,
    section="Interoperation",
    peer="nnunetv2",
    tolerance=1e-5,
)
@pytest.mark.exact(
    RESIDUAL_MAP,
    section="Interoperation",
    peer="nnunetv2",
    tolerance=1e-5,
    unit="of the voxels",
)
def test_residual_networks_equal_nnunets(peers_python: Path, shared: Path, tmp_path: Path, exact: Exact) -> None:
    asked = REQUESTS["one fold, mirrored"]
    world = make_world(peers_python, shared, tmp_path / "nnU-Net", folds=[0], requests=[asked], kind="residual_unet")
    network = load_network(world.runs / "fold_0" / "checkpoints" / "last.ckpt").network
    with torch.no_grad():
        difference = network(world.theirs["patch"]) - world.theirs["logits 0"]
    exact(difference.abs().max(), RESIDUAL_LOGITS)
    assert (network.name, world.theirs["logits 0"].std() > 0.1) == ("residual_unet", True)
    arguments = ["--run", str(world.runs / "fold_0"), "--input", str(world.input), "--output", str(tmp_path / "out")]
    assert predict([*arguments, "--convention", "msd_task01", "--precision", "32", "--step", str(asked["step"])]) == 0
    ours = label_map(next((tmp_path / "out").glob("*.nii.gz")))
    theirs = world.theirs["maps"][0].numpy()
    assert 0.01 < np.mean(theirs > 0) < 0.99
    exact(np.mean(ours != theirs), RESIDUAL_MAP)


@pytest.mark.slow
@pytest.mark.parametrize(
    "request_name",
    [
        pytest.param(
            name,
            marks=pytest.mark.exact(
                SUBJECT + (f"{name} (its sums in float32)" if settings["sums"] == "float32" else name),
                section="Interoperation",
                peer="nnunetv2",
                tolerance=1e-5 if settings["sums"] == "float32" else 1e-2,
                unit="of the voxels",
            ),
        )
        for name, settings in REQUESTS.items()
    ],
)
def test_label_maps_equal_nnunets(world: World, tmp_path: Path, request_name: str, exact: Exact) -> None:
    settings = REQUESTS[request_name]
    runs = [str(world.runs / f"fold_{fold}") for fold in settings["folds"]]
    arguments = ["--run", *runs, "--input", str(world.input), "--output", str(tmp_path / "out")]
    # nnU-Net's labels here are 1 oedema, 2 necrosis, 3 enhancing tumour, like those of the Decathlon.
    arguments += ["--convention", "msd_task01", "--precision", "32", "--step", str(settings["step"])]
    assert predict([*arguments, *([] if settings["mirror"] else ["--no-mirror"])]) == 0
    ours = label_map(next((tmp_path / "out").glob("*.nii.gz")))
    theirs = world.theirs["maps"][list(REQUESTS).index(request_name)].numpy()
    assert 0.01 < np.mean(theirs > 0) < 0.99  # neither nothing nor everything
    exact(np.mean(ours != theirs))


def label_map(path: Path) -> NDArray[np.uint8]:
    return np.asarray(nib.load(path).dataobj).T.astype(np.uint8)
