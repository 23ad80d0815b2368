"""Each intensity transform against numpy and scipy, and against batchgeneratorsv2 where it is installed."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.data import intensity, spatial

SHAPE = (4, 20, 17, 24)
SIGMAS = {0: (0.5, 0.75, 1.0), 2: (0.62, 0.9, 0.55)}
SCALES = {1: 0.55, 3: 0.83}
FACTORS = [0.8, 1.2, 1.0, 1.24]
GAMMAS = [0.7, 1.5, 1.1, 0.9]

TRANSFORMS: dict[str, Callable[[torch.Tensor], None]] = {
    "blur": lambda image: intensity.blur(image, sigmas=SIGMAS),
    "brightness": lambda image: intensity.scale_brightness(image, factors=FACTORS),
    "contrast": lambda image: intensity.scale_contrast(image, factors=FACTORS),
    "low_resolution": lambda image: intensity.lower_resolution(image, scales=SCALES),
    "gamma": lambda image: intensity.apply_gamma(image, gammas=GAMMAS, invert=False),
    "inverted_gamma": lambda image: intensity.apply_gamma(image, gammas=GAMMAS, invert=True),
}


@pytest.fixture
def image() -> NDArray[np.float32]:
    volume = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    volume[:, :5] = 0
    return volume


def apply(name: str, image: NDArray[np.float32]) -> NDArray[np.float32]:
    tensor = torch.from_numpy(image.copy())
    TRANSFORMS[name](tensor)
    result: NDArray[np.float32] = tensor.numpy()
    return result


def test_blur_equals_scipy(image: NDArray[np.float32]) -> None:
    expected = image.copy()
    for channel, sigmas in SIGMAS.items():
        for axis, sigma in enumerate(sigmas):
            radius = 1 if 6 * sigma + 0.5 < 4 else 2 if 6 * sigma + 0.5 < 6 else 3
            kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
            expected[channel] = ndimage.convolve1d(expected[channel], kernel / kernel.sum(), axis, mode="mirror")
    np.testing.assert_allclose(apply("blur", image), expected, atol=2e-6)


def test_brightness_multiplies(image: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(apply("brightness", image), image * np.array(FACTORS)[:, None, None, None], rtol=1e-6)


def test_contrast_stretches_within_the_range(image: NDArray[np.float32]) -> None:
    mean = image.mean((1, 2, 3), keepdims=True, dtype=float)
    low, high = image.min((1, 2, 3), keepdims=True), image.max((1, 2, 3), keepdims=True)
    stretched = (image - mean) * np.array(FACTORS)[:, None, None, None] + mean
    np.testing.assert_allclose(apply("contrast", image), np.clip(stretched, low, high), atol=2e-6)


def test_low_resolution_is_nearest_down_and_linear_up(image: NDArray[np.float32]) -> None:
    expected = image.astype(float)
    for channel, scale in SCALES.items():
        for axis, size in enumerate(SHAPE[1:]):
            coarse = round(size * scale)
            picked = np.floor((np.arange(coarse) + 0.5) * size / coarse).astype(int)
            position = np.clip((np.arange(size) + 0.5) * coarse / size - 0.5, 0, coarse - 1)
            weights = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(coarse)))
            matrix = weights @ np.eye(size)[picked]
            expected[channel] = np.moveaxis(np.tensordot(matrix, expected[channel], (1, axis)), 0, axis)
    np.testing.assert_allclose(apply("low_resolution", image), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["gamma", "inverted_gamma"])
def test_gamma_keeps_mean_and_deviation(name: str, image: NDArray[np.float32]) -> None:
    sign = -1 if name == "inverted_gamma" else 1
    result = apply(name, image)
    for values, gamma, got in zip(image.astype(float) * sign, GAMMAS, result, strict=True):
        curve = ((values - values.min()) / np.ptp(values)) ** gamma
        expected = (curve - curve.mean()) / curve.std() * values.std() + values.mean()
        np.testing.assert_allclose(got, sign * expected, atol=2e-5)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_constant_channels_stay_finite(name: str) -> None:
    result = apply(name, np.zeros(SHAPE, dtype=np.float32))
    np.testing.assert_array_equal(result, 0)


def test_noise_is_a_function_of_its_seed(image: NDArray[np.float32]) -> None:
    def noisy(seed: int) -> torch.Tensor:
        tensor = torch.from_numpy(image.copy())
        intensity.add_noise(tensor, sigma=0.1, seed=seed)
        return tensor - torch.from_numpy(image)

    assert torch.equal(noisy(1), noisy(1))
    assert not torch.equal(noisy(1), noisy(2))
    assert noisy(1).std().item() == pytest.approx(0.1, rel=0.03)
    assert noisy(1).mean().abs().item() < 0.004
    channels = np.corrcoef(noisy(1).flatten(1).numpy())
    assert np.abs(channels - np.eye(4)).max() < 0.06  # about 5 / sqrt(voxels)


PEER = """
import sys
import numpy as np, torch
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform as Brightness
from batchgeneratorsv2.transforms.intensity.contrast import ContrastTransform as Contrast
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform as Gamma
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform as Blur
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform as LowResolution
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform as Spatial
from batchgeneratorsv2.transforms.spatial.spatial import create_affine_matrix_3d, _convert_my_grid_to_grid_sample_grid

given = np.load(sys.argv[1])
image, factors, gammas = (torch.from_numpy(given[k]) for k in ("image", "factors", "gammas"))
everything = torch.arange(4)
yes, no = torch.ones(4, dtype=torch.bool), torch.zeros(4, dtype=torch.bool)
fires = torch.zeros(4, dtype=torch.bool)
fires[torch.from_numpy(given["blurred"])] = True
out = {
    "blur": Blur()._apply_to_image(image.clone(), apply_to_channel=fires, sigmas=given["sigmas"].tolist()),
    "brightness": Brightness((1, 1), False)._apply_to_image(
        image.clone(), apply_to_channel=everything, multipliers=factors),
    "contrast": Contrast((1, 1), True, False)._apply_to_image(
        image.clone(), apply_to_channel=everything, multipliers=factors),
    "low_resolution": LowResolution((1, 1), False, True, None)._apply_to_image(
        image.clone(), apply_to_channel=given["coarse"].tolist(), scales=torch.from_numpy(given["scales"])),
    "gamma": Gamma((1, 1), 0, False, 1, 1)._apply_to_image(
        image.clone(), apply_to_channel=everything, retain_stats=yes, invert_image=no, gamma=gammas),
    "inverted_gamma": Gamma((1, 1), 1, False, 1, 1)._apply_to_image(
        image.clone(), apply_to_channel=everything, retain_stats=yes, invert_image=yes, gamma=gammas),
}
patch = tuple(given["patch"].tolist())
spatial = Spatial(patch, 0, False, border_mode_seg="constant", padding_value_seg=-1)
grid = spatial._get_base_grid_clone() @ torch.from_numpy(
    create_affine_matrix_3d(given["angles"].tolist(), [float(given["scale"])] * 3).T).float()
grid = _convert_my_grid_to_grid_sample_grid(grid, image.shape[1:])
out["spatial"] = spatial._apply_to_image(image, grid=grid)
out["label"] = spatial._apply_to_segmentation(torch.from_numpy(given["label"]), grid=grid)
np.savez(sys.argv[2], **{k: v.numpy() for k, v in out.items()})
"""


def nested_label() -> NDArray[np.int16]:
    """Voxel labels (1, D, H, W): oedema 2 around a core 1 around enhancement 3, in a head whose outside is -1."""
    z, y, x = np.indices(SHAPE[1:])
    distance = np.hypot(np.hypot(z - 9, y - 8), 1.2 * (x - 12))
    label = np.select([distance < 2, distance < 4, distance < 6, z < 4], [3, 1, 2, -1], 0)
    return label[None].astype(np.int16)


@pytest.fixture(scope="module")
def peer(peers_python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, NDArray[np.float32]]:
    """The same image and parameters through batchgeneratorsv2, in its own process."""
    folder = tmp_path_factory.mktemp("peer")
    volume = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    volume[:, :5] = 0
    np.savez(
        folder / "given.npz",
        image=volume,
        label=nested_label(),
        factors=np.array(FACTORS, np.float32),
        gammas=np.array(GAMMAS, np.float32),
        blurred=list(SIGMAS),
        sigmas=list(SIGMAS.values()),
        coarse=list(SCALES),
        scales=np.array([[s] * 3 for s in SCALES.values()], np.float32),
        patch=(10, 9, 12),
        angles=[0.3, -0.2, 0.1],
        scale=1.1,
    )
    files = [str(folder / "given.npz"), str(folder / "out.npz")]
    subprocess.run([str(peers_python), "-c", PEER, *files], check=True, env={"OMP_NUM_THREADS": "1"}, timeout=120)
    return dict(np.load(folder / "out.npz"))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_equals_batchgeneratorsv2(name: str, image: NDArray[np.float32], peer: dict[str, NDArray[np.float32]]) -> None:
    np.testing.assert_allclose(apply(name, image), peer[name], atol=1e-5)


def test_rotation_and_scaling_equal_batchgeneratorsv2(
    image: NDArray[np.float32], peer: dict[str, NDArray[np.float32]]
) -> None:
    result = spatial.resample(torch.from_numpy(image), centred_affine(), (10, 9, 12))
    np.testing.assert_allclose(result.numpy(), peer["spatial"], atol=1e-5)


def test_labels_differ_from_batchgeneratorsv2_only_where_three_tissues_meet(
    peer: dict[str, NDArray[np.float32]],
) -> None:
    label, expected = nested_label()[0], peer["label"][0]
    masks = torch.from_numpy(np.stack([np.isin(label, values) for values in ((1, 2, 3), (1, 3), (3,))]))
    result = spatial.resample_masks(masks, centred_affine(), (10, 9, 12)).numpy()
    for mask, values in zip(result, ((1, 2, 3), (1, 3), (3,)), strict=True):
        assert np.isin(expected, values).sum() > 10
        assert (mask != np.isin(expected, values)).mean() < 0.005


def centred_affine() -> NDArray[np.float32]:
    """Affine of the peer's rotation and scaling: nnU-Net's patch is centred in its box."""
    matrix = 1.1 * spatial.rotation_matrix([0.3, -0.2, 0.1])
    offset = (np.array(SHAPE[1:]) - 1) / 2 - matrix @ ((np.array((10, 9, 12)) - 1) / 2)
    return np.concatenate([matrix, offset[:, None]], axis=1).astype(np.float32)
