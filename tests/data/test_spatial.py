"""Rotation and scaling against scipy, and the box that is read for them."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from pedseg.data import spatial

ANGLES = [0.4, -0.3, 0.2]
MATRICES = {
    "rotation": spatial.rotation_matrix(ANGLES),
    "larger": 0.75 * np.eye(3),
    "smaller": 1.35 * np.eye(3),
    "both": 1.2 * spatial.rotation_matrix(ANGLES),
}
PATCH = (14, 12, 10)


def cut(volume: NDArray[np.float32], start: Sequence[int], size: Sequence[int]) -> NDArray[np.float32]:
    """Part of (C, D, H, W), padded with 0."""
    padded = np.pad(volume, [(0, 0)] + [(40, 40)] * 3)
    return padded[(slice(None), *(slice(s + 40, s + 40 + n) for s, n in zip(start, size, strict=True)))]


def reference(
    volume: NDArray[np.float32], matrix: NDArray[np.float64], start: Sequence[int], patch: Sequence[int]
) -> NDArray[np.float32]:
    """Sample the whole volume with scipy, the patch centre fixed."""
    half = (np.array(patch) - 1) / 2
    offset = np.array(start) + half - matrix @ half
    return np.stack(
        [
            ndimage.affine_transform(v, matrix, offset, tuple(patch), order=1, mode="grid-constant", cval=0.0)
            for v in volume
        ]
    )


def test_rotation_composes_axis_0_then_1_then_2() -> None:
    expected = Rotation.from_euler("xyz", ANGLES).as_matrix()
    np.testing.assert_allclose(spatial.rotation_matrix(ANGLES), expected, atol=1e-12)


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("start", [(8, 6, 7), (-3, 20, -2), (22, -5, 15)], ids=str)
def test_patch_from_its_box_equals_patch_from_the_volume(name: str, start: tuple[int, int, int]) -> None:
    volume = np.random.default_rng(0).standard_normal((2, 30, 28, 26)).astype(np.float32)
    box = spatial.required_box(MATRICES[name], start, PATCH, volume.shape[1:])
    assert box.affine is not None
    assert all(s >= 0 and s + n <= v for s, n, v in zip(box.start, box.size, volume.shape[1:], strict=True))
    patch = spatial.resample(tuple(torch.from_numpy(cut(volume, box.start, box.size))), box.affine, PATCH)
    np.testing.assert_allclose(patch.numpy(), reference(volume, MATRICES[name], start, PATCH), atol=2e-5)


def test_untransformed_patch_is_read_as_it_is() -> None:
    assert spatial.required_box(None, (-1, 2, 3), PATCH, (5, 5, 5)) == ((-1, 2, 3), PATCH, None)


def test_box_is_no_larger_than_the_patch_needs() -> None:
    box = spatial.required_box(0.7 * np.eye(3), (50, 50, 50), (128, 128, 128), (300, 300, 300))
    assert max(box.size) <= 0.7 * 127 + 3
    turned = spatial.required_box(MATRICES["rotation"], (100, 100, 100), (128, 128, 128), (400, 400, 400))
    assert np.prod(turned.size) < 205**3


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("corner", [(0, 0, 0), (9, 4, 6), (22, 18, 17)], ids=str)
def test_masks_are_cut_at_one_half(name: str, corner: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    masks = np.zeros((2, 30, 28, 26), dtype=np.float32)
    z, y, x = corner
    masks[0, z : z + 8, y : y + 7, x : x + 6] = rng.random((8, 7, 6)) < 0.8
    masks[1, z : z + 4, y : y + 3, x : x + 5] = 1
    box = spatial.required_box(MATRICES[name], (8, 8, 8), PATCH, masks.shape[1:])
    assert box.affine is not None
    read = torch.from_numpy(cut(masks, box.start, box.size)).to(torch.uint8)
    expected = reference(masks, MATRICES[name], (8, 8, 8), PATCH)
    decided = np.abs(expected - 0.5) > 1e-4
    result = spatial.resample_masks(read, box.affine, PATCH).numpy()
    assert result.dtype == bool
    np.testing.assert_array_equal(result[decided], expected[decided] > 0.5)


def test_empty_masks_stay_empty() -> None:
    box = spatial.required_box(MATRICES["both"], (8, 8, 8), PATCH, (30, 28, 26))
    assert box.affine is not None
    assert not spatial.resample_masks(torch.zeros(3, *box.size, dtype=torch.uint8), box.affine, PATCH).any()


def test_frequencies_and_ranges_are_nnunets() -> None:
    rng = np.random.default_rng(0)
    drawn = [spatial.draw_matrix(rng) for _ in range(4000)]
    fired = [matrix for matrix in drawn if matrix is not None]
    scales = np.array([np.linalg.norm(matrix[0]) for matrix in fired])
    scaled = np.abs(scales - 1) > 1e-9
    turned = np.array([np.abs(m / s - np.eye(3)).max() > 1e-9 for m, s in zip(fired, scales, strict=True)])
    assert len(fired) / 4000 == pytest.approx(0.36, abs=0.03)
    assert scaled.sum() / 4000 == pytest.approx(0.2, abs=0.025)
    assert turned.sum() / 4000 == pytest.approx(0.2, abs=0.025)
    assert 0.7 <= scales.min() < 0.72
    assert 1.38 < scales.max() <= 1.4
    angles = np.array(
        [Rotation.from_matrix(m / s).as_euler("xyz", degrees=True) for m, s in zip(fired, scales, strict=True)]
    )[turned]
    assert (np.abs(angles).max(axis=0) <= 30 + 1e-9).all()
    assert (np.abs(angles).max(axis=0) > 29).all()
