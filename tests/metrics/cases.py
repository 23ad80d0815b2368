"""Pairs of region masks that comparisons of lesion-wise scores share."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Regions = NDArray[np.bool_]
Case = tuple[str, Regions, Regions, tuple[float, float, float]]  # kind, prediction, label, spacing in mm (z, y, x)
ONE_MM = (1.0, 1.0, 1.0)
ANISOTROPIC = ((2.0, 2.0, 2.0), (1.0, 2.0, 1.0), (1.0, 2.0, 3.0), (2.5, 0.75, 1.25))


def nested(field: NDArray[np.float64], *, above: float) -> Regions:
    """Where a field is above three thresholds."""
    return np.stack([field > above + step for step in (0.0, 0.04, 0.08)])


def field(seed: int, *, sigma: float) -> NDArray[np.float64]:
    """Smooth noise."""
    return np.asarray(gaussian_filter(np.random.default_rng(seed).standard_normal((30, 34, 38)), sigma))


def box(*corner: int, size: int = 3) -> Regions:
    """A cube in all three regions."""
    masks = np.zeros((3, 12, 12, 12), dtype=bool)
    z, y, x = corner
    masks[:, z : z + size, y : y + size, x : x + size] = True
    return masks


def cases_at_one_mm() -> Iterator[Case]:
    """Random and hand-made pairs with everything that lesions and empty masks can do."""
    for seed in range(4):
        for sigma, kind in ((2.5, "blobs"), (1.2, "many lesions")):
            f, other = field(seed, sigma=sigma), field(seed + 50, sigma=sigma)
            yield kind, nested(f + 0.4 * other, above=0.09), nested(f, above=0.09), ONE_MM
    nothing, first = np.zeros((3, 12, 12, 12), dtype=bool), box(2, 2, 2)
    for offset in ((5, 5, 5), (5, 5, 2), (5, 2, 2), (6, 2, 2)):  # by a corner, an edge, a side; one voxel apart
        yield "touching", first | box(*offset, size=2), first | box(*offset), ONE_MM
        yield "touching in one only", box(2, 2, 2, size=2) | box(*offset), first | box(*offset), ONE_MM
    rods = [np.zeros((3, 12, 12, 12), dtype=bool) for _ in range(2)]
    rods[0][:, 4, 4, 0:4] = rods[0][:, 4, 4, 5:12] = True
    rods[1][:, 4, 4, 0:8] = rods[1][:, 4, 4, 9:11] = True
    yield "best sum", rods[0], rods[1], ONE_MM
    points = [box(z, y, x, size=1) for z, y, x in ((2, 2, 2), (2, 3, 2), (2, 4, 2), (9, 9, 9), (0, 0, 11))]
    yield "one voxel", points[0] | points[2] | points[3], points[0] | points[1] | points[2], ONE_MM  # equal partners
    yield "one voxel", points[0] | points[1] | points[2], points[0] | points[2] | points[4], ONE_MM
    yield "one voxel", points[3], points[3], ONE_MM
    yield "none in common", first, box(7, 7, 7), ONE_MM
    for prediction, label in ((nothing, nothing), (first, nothing), (nothing, first)):
        yield "empty", prediction, label, ONE_MM
    some = first.copy()
    some[1:] = False
    yield "TC and ET missed", some, first, ONE_MM
    for prediction, label in ((box(0, 0, 0), box(0, 0, 1)), (box(9, 9, 9), box(8, 9, 9)), (~nothing, box(5, 5, 5))):
        yield "border", prediction, label, ONE_MM


def cases_elsewhere() -> Iterator[Case]:
    """Random pairs at other spacings."""
    for seed, spacing in enumerate(ANISOTROPIC):
        f, other = field(seed + 9, sigma=2.0), field(seed + 70, sigma=2.0)
        yield "blobs", nested(f + 0.4 * other, above=0.09), nested(f, above=0.09), spacing
