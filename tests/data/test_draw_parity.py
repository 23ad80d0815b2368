"""What the augmentation draws against what nnU-Net's training transforms draw: how often each fires, how strongly.

Both sides draw the parameters of `DRAWS` samples, with fixed seeds and without applying them. Frequencies are compared
in standard deviations of their difference; values by the Kolmogorov statistic ``D sqrt(n m / (n + m))``, which for
equal distributions exceeds 2.23 in one of 10,000 tries (Smirnov).
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from scipy.stats import ks_2samp

from pedseg.data import spatial
from pedseg.data.augmentation import draw_intensity
from tests.exactness import Exact

DRAWS = 10_000
Drawn = dict[str, Any]
PEER = """
import json, sys
import numpy as np, torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import *
np.random.seed(0)
torch.manual_seed(0)
chain = nnUNetTrainer.get_training_transforms(
    (2, 2, 2), (-np.pi / 6, np.pi / 6), None, (0, 1, 2), False, use_mask_for_norm=[True] * 4,
    regions=[(1, 2, 3), (1, 3), (3,)], foreground_labels=(1, 2, 3)).transforms
image = torch.zeros(4, 2, 2, 2)
numbers = lambda values: np.ravel(np.asarray(values, dtype=float)).tolist()
read = {  # transform: its name here, the values among its parameters
    GaussianNoiseTransform: ("noise", lambda p: numbers(p["sigmas"])),
    GaussianBlurTransform: ("blur", lambda p: numbers(p["sigmas"])),
    MultiplicativeBrightnessTransform: ("brightness", lambda p: numbers(p["multipliers"])),
    ContrastTransform: ("contrast", lambda p: numbers(p["multipliers"])),
    SimulateLowResolutionTransform: ("low_resolution", lambda p: [s[0] for s in p["scales"].tolist()]),
    GammaTransform: ("gamma", lambda p: numbers(p["gamma"])),
}
order, drawn = [], {"matrices": [], "mirror": []}
for transform in chain:
    if isinstance(transform, SpatialTransform):
        order.append("spatial")
        affines = (transform.get_parameters(image=image)["affine"] for _ in range(int(sys.argv[1])))
        drawn["matrices"] = [a.tolist() for a in affines if a is not None]
    elif isinstance(transform, MirrorTransform):
        order.append("mirror")
        drawn["mirror"] = [transform.get_parameters(image=image)["axes"] for _ in range(int(sys.argv[1]))]
    elif isinstance(transform, RandomTransform):
        name, values = read[type(transform.transform)]
        if name == "gamma" and transform.transform.p_invert_image:
            name = "inverted_gamma"
        order.append(name)
        drawn[name] = [values(transform.transform.get_parameters(image=image)) for _ in range(int(sys.argv[1]))
                       if transform.get_parameters()["apply_transform"]]
    else:
        order.append(type(transform).__name__)
json.dump({"order": order, "drawn": drawn}, open(sys.argv[2], "w"))
"""


@pytest.fixture(scope="module")
def peer(peers_python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Order of nnU-Net's transforms and what they draw, in its own process."""
    path = tmp_path_factory.mktemp("peer") / "drawn.json"
    subprocess.run([str(peers_python), "-c", PEER, str(DRAWS), str(path)], check=True, env={"OMP_NUM_THREADS": "1"})
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.fixture(scope="module")
def ours() -> Drawn:
    """For each transform the values of every sample that it fires on; no entry where it fires on no channel."""
    rng = np.random.default_rng(0)
    matrices = [spatial.draw_matrix(rng) for _ in range(DRAWS)]
    drawn = [draw_intensity(rng) for _ in range(DRAWS)]
    return {
        "matrices": [matrix for matrix in matrices if matrix is not None],
        "mirror": [p.mirror for p in drawn],
        "noise": [[p.noise[0]] for p in drawn if p.noise],
        "blur": [np.ravel(list(p.blur.values())).tolist() for p in drawn if p.blur],
        "brightness": [p.brightness for p in drawn if p.brightness],
        "contrast": [p.contrast for p in drawn if p.contrast],
        "low_resolution": [list(p.low_resolution.values()) for p in drawn if p.low_resolution],
        "inverted_gamma": [p.inverted_gamma for p in drawn if p.inverted_gamma],
        "gamma": [p.gamma for p in drawn if p.gamma],
    }


INTENSITY = ("noise", "blur", "brightness", "contrast", "low_resolution", "inverted_gamma", "gamma")


def frequencies(drawn: Drawn) -> dict[str, float]:
    """Share of the samples that each transform, each number of blurred or coarse channels and each flip occurs in."""
    scales, angles = scales_and_angles(drawn["matrices"])
    counts: dict[str, int] = {name: sum(bool(values) for values in drawn[name]) for name in INTENSITY}
    counts |= {"spatial": len(drawn["matrices"]), "scaling": len(scales), "rotation": len(angles)}
    for name, per_channel in (("blur", 3), ("low_resolution", 1)):
        counts |= {f"{name} {n}": sum(len(v) == n * per_channel for v in drawn[name]) for n in (1, 2, 3, 4)}
    counts |= {f"flip {axis}": sum(axis in axes for axes in drawn["mirror"]) for axis in range(3)}
    return {name: count / DRAWS for name, count in counts.items()}


def scales_and_angles(matrices: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scales other than 1, and angles about the three axes of the rotations that are not by 0."""
    stack = np.array(matrices)
    scales = np.linalg.norm(stack, axis=2).mean(axis=1)
    angles = Rotation.from_matrix(stack / scales[:, None, None]).as_euler("xyz")
    return scales[np.abs(scales - 1) > 1e-9], angles[np.abs(angles).max(axis=1) > 1e-6]


def row(subject: str, tolerance: float, unit: str = "") -> pytest.MarkDecorator:
    """Row of the page on exactness."""
    return pytest.mark.exact(subject, section="Training", peer="nnunetv2", tolerance=tolerance, unit=unit)


@row(f"Augmentation: how often each transform fires, {DRAWS:,} samples", 4, "standard deviations")
def test_frequencies(ours: Drawn, peer: dict[str, Any], exact: Exact) -> None:
    """The chain is the nine transforms of `Augmentation` in its order; what follows masks and makes regions."""
    end = ["MaskImageTransform", "RemoveLabelTransform", "ConvertSegmentationToRegionsTransform"]
    assert peer["order"] == ["spatial", *INTENSITY, "mirror", *end]
    theirs = frequencies(peer["drawn"])
    for name, share in frequencies(ours).items():
        p = (share + theirs[name]) / 2
        exact(abs(share - theirs[name]) / np.sqrt(2 * p * (1 - p) / DRAWS))


@row(f"Augmentation: parameters of each transform, {DRAWS:,} samples, Kolmogorov statistic", 2.23)
def test_values(ours: Drawn, peer: dict[str, Any], exact: Exact) -> None:
    def values(drawn: Drawn) -> dict[str, Any]:
        scales, angles = scales_and_angles(drawn["matrices"])
        flat = {name: np.concatenate([np.ravel(v) for v in drawn[name]]) for name in INTENSITY}
        return flat | {"scale": scales} | {f"angle {axis}": angles[:, axis] for axis in range(3)}

    theirs = values(peer["drawn"])
    for name, mine in values(ours).items():
        n, m = len(mine), len(theirs[name])
        assert min(n, m) > 500
        exact(ks_2samp(mine, theirs[name]).statistic * np.sqrt(n * m / (n + m)))
