"""A real case through nnU-Net's own reader, crop, normalisation and predictor, and through this package."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pedseg import __version__
from pedseg.cases import Case, find_cases
from pedseg.imaging import restore_regions
from pedseg.inference import Predictor, Settings
from pedseg.networks import UNet
from pedseg.networks.nnunet_keys import nnunet_keys
from tests.exactness import Exact

CASE = "UPENN-GBM-00006_11"
PATCH = (64, 96, 80)  # an axis mixed up would show
PEER_PROGRAM = """
import sys, types, torch, numpy as np
from torch import nn
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.inference import predict_from_raw_data as inference
from nnunetv2.inference.sliding_window_prediction import compute_gaussian
from nnunetv2.preprocessing.cropping.cropping import crop_to_nonzero
from nnunetv2.preprocessing.normalization.default_normalization_schemes import ZScoreNormalization

job = torch.load(sys.argv[1])
n = len(job["features"])
network = PlainConvUNet(4, n, job["features"], nn.Conv3d, job["kernels"], job["strides"], [2] * n, 3, [2] * (n - 1),
    True, nn.InstanceNorm3d, {"eps": 1e-5, "affine": True}, None, None, nn.LeakyReLU, {"inplace": True}, False)
predictor = inference.nnUNetPredictor(tile_step_size=job["step"], use_gaussian=True, use_mirroring=job["mirror"],
    perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False)
predictor.network, predictor.allowed_mirroring_axes = network, (0, 1, 2)
predictor.configuration_manager = types.SimpleNamespace(patch_size=job["patch"])
predictor.label_manager = types.SimpleNamespace(num_segmentation_heads=3)
network.load_state_dict(job["weights"], strict=False)
predictor.list_of_parameters = [network.state_dict()]
data, _ = SimpleITKIO().read_images(job["images"])
shape = data.shape[1:]
data, seg, box = crop_to_nonzero(data)
scheme = ZScoreNormalization(use_mask_for_norm=True, intensityproperties={})
data = torch.from_numpy(np.stack([scheme.run(channel.astype(np.float32), seg[0]) for channel in data]))
saved = {}
for accumulators in job["accumulators"]:
    if accumulators == "float32":  # nnU-Net's sums are hard-coded to half precision
        inference.torch = types.SimpleNamespace(**{**vars(torch), "half": torch.float32})
        inference.compute_gaussian = lambda *a, **k: compute_gaussian(*a, **k, dtype=torch.float32)
    logits = predictor.predict_logits_from_preprocessed_data(data).numpy()
    regions = np.zeros((3, *shape), dtype=bool)
    regions[(slice(None), *(slice(a, b) for a, b in box))] = logits > 0
    saved[accumulators] = torch.from_numpy(regions)
    saved[accumulators + " logits"] = torch.from_numpy(logits)
torch.save(saved, sys.argv[2])
"""


@pytest.fixture(scope="module")
def case(shared: Path) -> Case:
    cases = find_cases(shared / "real", cohort="adult", labelled=False).cases
    return next(case for case in cases if case.id == CASE)


def random_network() -> UNet:
    torch.manual_seed(0)
    return UNet(patch_size=PATCH, base_features=2, max_features=8).eval()


def predict_with_nnunet(python: Path, folder: Path, case: Case, network: UNet, **job: Any) -> dict[str, Any]:
    weights = network.state_dict()
    job |= {
        "features": list(network.topology.features),
        "kernels": [list(k) for k in network.topology.kernels],
        "strides": [list(s) for s in network.topology.strides],
        "weights": {other: weights[own] for own, other in nnunet_keys(network).items()},
        "images": [str(image.path) for image in case.images],
        "patch": PATCH,
    }
    torch.save(job, folder / "job.pt")
    subprocess.run([python, "-c", PEER_PROGRAM, folder / "job.pt", folder / "out.pt"], check=True, capture_output=True)
    found: dict[str, Any] = torch.load(folder / "out.pt", weights_only=True)
    return found


def predict_here(folder: Path, case: Case, network: UNet, settings: Settings) -> tuple[Tensor, NDArray[np.bool_]]:
    description = {
        "version": __version__,
        "network": network.settings,
        "patch_size": list(PATCH),
        "spacing_mm": [1.0, 1.0, 1.0],
        "regions": ["wt", "tc", "et"],
    }
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save({"pedseg": description, "state_dict": weights}, folder / "last.ckpt")
    predictor = Predictor([folder / "last.ckpt"], device=torch.device("cpu"), settings=settings)
    prepared = predictor.prepare(case)
    logits = predictor.logits(torch.from_numpy(prepared.normalised()))
    return logits, restore_regions(logits.numpy(), prepared)


LOGITS = "Logits of a real case, random network, {}: reading, cropping, z-score, windows, weights"
REGIONS = "Region masks of a real case, random network, {}"
WAYS = {"windows overlap by half": (False, 0.5), "mirrored, windows side by side": (True, 1.0)}
HALF = REGIONS.format("windows overlap by half, its sums in half precision as they are")


def _rows(way: str) -> list[pytest.MarkDecorator]:
    rows = [(LOGITS, 1e-3, ""), (REGIONS, 1e-5, "of the voxels")]
    marks = [
        pytest.mark.exact(text.format(way), section="Prediction", peer="nnunetv2", tolerance=tolerance, unit=unit)
        for text, tolerance, unit in rows
    ]
    if not WAYS[way][0]:
        marks.append(
            pytest.mark.exact(HALF, section="Prediction", peer="nnunetv2", tolerance=2e-3, unit="of the voxels")
        )
    return marks


@pytest.mark.slow
@pytest.mark.parametrize("way", [pytest.param(way, marks=_rows(way)) for way in WAYS])
def test_regions_equal_nnunets(peers_python: Path, tmp_path: Path, case: Case, way: str, exact: Exact) -> None:
    """In float32; its own half-precision sums round logits, so that voxels next to 0 change sides."""
    mirror, step = WAYS[way]
    accumulators = ["float32"] if mirror else ["half", "float32"]
    network = random_network()
    theirs = predict_with_nnunet(
        peers_python, tmp_path, case, network, mirror=mirror, step=step, accumulators=accumulators
    )
    logits, regions = predict_here(tmp_path, case, network, Settings(mirror=mirror, step=step))
    assert 0.01 < regions.mean() < 0.99  # neither nothing nor everything
    exact((logits - theirs["float32 logits"]).abs().max(), LOGITS.format(way))
    exact(np.mean(regions != theirs["float32"].numpy()), REGIONS.format(way))
    if "half" in accumulators:
        exact(np.mean(regions != theirs["half"].numpy()), HALF)
