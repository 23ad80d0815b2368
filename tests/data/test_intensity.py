"""Each intensity transform against numpy and scipy."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.data import intensity
from tests.data.transforms import FACTORS, GAMMAS, SCALES, SHAPE, SIGMAS, TRANSFORMS, apply, half_empty_image


@pytest.fixture
def image() -> NDArray[np.float32]:
    return half_empty_image()


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
