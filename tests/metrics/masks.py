"""Masks made for tests and benchmarks of metrics."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

SHAPE = (155, 240, 240)
RADII_MM = {"wt": 32.0, "tc": 22.0, "et": 13.0}

Masks = NDArray[np.bool_]


def tumour(seed: int) -> Masks:
    """Nested region masks (3, Z, Y, X) with rough borders, about the size of a median adult tumour, at full size."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32), 3)
    axes = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in SHAPE), indexing="ij", sparse=True)
    centre = (80, 110 + seed, 90)
    distance = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True)))
    return np.stack([distance + 60 * noise < radius for radius in RADII_MM.values()])


def scattered(seed: int) -> Masks:
    """Nested region masks of full size with hundreds of small lesions; seeds share most of them."""
    shape = (120, 160, 160)
    fields = [
        gaussian_filter(np.random.default_rng(s).standard_normal(shape).astype(np.float32), 2) for s in (99, seed)
    ]
    masks = np.zeros((len(RADII_MM), *SHAPE), dtype=bool)
    for mask, threshold in zip(masks, (0.135, 0.145, 0.155), strict=True):
        mask[20:140, 40:200, 40:200] = fields[0] + 0.3 * fields[1] > threshold
    return masks
