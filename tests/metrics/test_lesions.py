"""Dilation against scipy, and components of masks that are thin or scattered."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from pedseg.metrics.lesions import Pairing, dilate, pair_by_surroundings, pair_one_to_one
from tests.exactness import Exact

Pair = Callable[..., Pairing]
SPACING = (1.0, 1.0, 1.0)
EIGHTEEN = ndimage.generate_binary_structure(3, 2)


@pytest.mark.exact(
    "Voxels of a mask dilated once and three times with 18 neighbours", section="Metrics", peer="scipy", tolerance=0
)
@pytest.mark.parametrize("shape", [(5, 6, 7), (1, 9, 9), (12, 12, 12)])
def test_dilation_equals_scipy(shape: tuple[int, int, int], exact: Exact) -> None:
    mask = np.random.default_rng(0).random(shape) < 0.02
    mask[0, 0, 0] = True
    for steps in (1, 3):
        exact(np.count_nonzero(dilate(mask, steps=steps) ^ ndimage.binary_dilation(mask, EIGHTEEN, iterations=steps)))


@pytest.mark.parametrize("pair", [pair_by_surroundings, pair_one_to_one])
def test_scattered_voxels_in_thin_masks(pair: Pair) -> None:
    """Every other voxel of a thin box: as many components as there can be."""
    for shape in itertools.product((1, 3, 5), repeat=3):
        prediction = np.zeros(shape, dtype=bool)
        prediction[::2, ::2, ::2] = True
        assert pair(prediction, np.zeros_like(prediction), spacing_mm=SPACING).false_positives == prediction.sum()
