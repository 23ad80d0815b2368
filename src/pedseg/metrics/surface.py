"""Distances between the surfaces of two masks, and the metrics that are made of them.

Two notions of a surface are in use. `surface_distances` follows the BraTS 2023 evaluation, which runs the package
``surface-distance`` (Nikolov et al. 2021, "Clinically applicable segmentation of head and neck anatomy"): elements of
surface between voxels, weighted by their areas. `border_distances` follows ``brats-evaluation`` of 2025: voxels of the
mask that have a face neighbour outside it, all of one weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pedseg.metrics.areas import ALL_INSIDE, neighbourhood_codes, surface_area_table
from pedseg.metrics.overlap import bounding_box

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SurfaceDistances:
    """Distances between two surfaces in both directions.

    Attributes:
        prediction_mm: distance of each element of the prediction's surface to the label's; infinite if it has none.
        label_mm: the other direction.
        prediction_areas: weight of each element of the prediction's surface.
        label_areas: the same of the label.
    """

    prediction_mm: Values
    label_mm: Values
    prediction_areas: Values
    label_areas: Values

    @property
    def directions(self) -> tuple[tuple[Values, Values], ...]:
        """Distances and weights, by direction; a mask that is empty has none."""
        both = ((self.prediction_mm, self.prediction_areas), (self.label_mm, self.label_areas))
        return tuple(pair for pair in both if len(pair[0]))


def surface_distances(prediction: Mask, label: Mask, *, spacing_mm: Sequence[float]) -> SurfaceDistances:
    """Distances between elements of surface, weighted by their areas in mm².

    Args:
        prediction: mask (Z, Y, X).
        label: mask of the same shape.
        spacing_mm: voxel size (z, y, x).
    """
    z, y, x = (float(side) for side in spacing_mm)
    codes = [neighbourhood_codes(mask) for mask in _padded(prediction, label)]
    surfaces = [(code != 0) & (code != ALL_INSIDE) for code in codes]
    areas = surface_area_table((z, y, x))
    p, g = (areas[code[surface]] for code, surface in zip(codes, surfaces, strict=True))
    return SurfaceDistances(*_both_ways(*surfaces, spacing_mm=(z, y, x)), p, g)


def border_distances(prediction: Mask, label: Mask, *, spacing_mm: Sequence[float]) -> SurfaceDistances:
    """Distances between border voxels, each of weight 1; arguments as of `surface_distances`."""
    p, g = _both_ways(*(_border(mask) for mask in _padded(prediction, label)), spacing_mm=spacing_mm)
    return SurfaceDistances(p, g, np.ones(len(p)), np.ones(len(g)))


def hausdorff_mm(distances: SurfaceDistances, *, percentile: float = 95.0) -> float:
    """Robust Hausdorff distance: the larger of the two directed, weighted percentiles.

    Args:
        distances: between the two surfaces.
        percentile: of the distances from one surface to the other, 0-100.

    Returns:
        NaN if both masks are empty, infinity if one is.
    """
    return max((_weighted_percentile(*way, percentile) for way in distances.directions), default=float("nan"))


def pooled_hausdorff_mm(distances: SurfaceDistances, *, percentile: float = 95.0) -> float:
    """Percentile of the distances of both directions together, interpolated between elements, without weights.

    Returns:
        NaN if both masks are empty, infinity if one is.
    """
    pooled = np.concatenate([distances.prediction_mm, distances.label_mm])
    if not np.isfinite(pooled).all():
        return float("inf")
    return float(np.percentile(pooled, percentile)) if len(pooled) else float("nan")


def surface_dice(distances: SurfaceDistances, *, tolerance_mm: float) -> float:
    """Normalised surface Dice: share of the area of both surfaces that lies within `tolerance_mm` of the other one.

    Returns:
        A value from 0 to 1; NaN if both masks are empty, 0 if one is.
    """
    near = sum(float(areas[mm <= tolerance_mm].sum()) for mm, areas in distances.directions)
    area = sum(float(areas.sum()) for _, areas in distances.directions)
    return near / area if distances.directions else float("nan")


def mean_surface_dice(distances: SurfaceDistances, *, tolerance_mm: float) -> float:
    """Mean of the two shares, that of each surface within `tolerance_mm` of the other one; otherwise as `surface_dice`.

    A small surface counts as much as a large one here.
    """
    shares = [float(areas[mm <= tolerance_mm].sum() / areas.sum()) for mm, areas in distances.directions]
    return sum(shares) / len(shares) if shares else float("nan")


def _padded(prediction: Mask, label: Mask) -> tuple[Mask, Mask]:
    """Both masks in the box around them, with a voxel of background on every side."""
    box = bounding_box(prediction | label) or tuple(slice(0) for _ in label.shape)
    return np.pad(prediction[box], 1), np.pad(label[box], 1)


def _border(mask: Mask) -> Mask:
    """Voxels with a face neighbour outside the mask, which does not reach the sides of the array."""
    core = mask[1:-1, 1:-1, 1:-1].copy()
    for axis in range(mask.ndim):
        for step in (slice(0, -2), slice(2, None)):
            core &= mask[tuple(step if a == axis else slice(1, -1) for a in range(mask.ndim))]
    border = mask.copy()
    border[1:-1, 1:-1, 1:-1] &= ~core
    return border


def _both_ways(prediction: Mask, label: Mask, *, spacing_mm: Sequence[float]) -> tuple[Values, Values]:
    """Distance of each point of one grid mask, in array order, to the nearest one of the other, in both directions."""
    step = np.asarray(spacing_mm, dtype=np.float64)
    p, g = np.argwhere(prediction), np.argwhere(label)
    return _distances_mm(p, g, ~label[prediction], step), _distances_mm(g, p, ~prediction[label], step)


def _distances_mm(points: NDArray[np.int64], others: NDArray[np.int64], apart: Mask, step: Values) -> Values:
    """Distance of each point to the nearest other one, infinite if there is none; 0 where they are not `apart`.

    A k-d tree finds the neighbours: in double precision, where a distance transform in float32 is off by 1e-5 mm if the
    spacing differs between axes, and faster, since surfaces have few points and most lie close to the other one.
    """
    if not len(others):
        return np.full(len(points), np.inf)
    distances = np.zeros(len(points))
    if apart.any():
        tree = cKDTree(others * step, balanced_tree=False, compact_nodes=False)
        _, nearest = tree.query(points[apart] * step)
        distances[apart] = np.sqrt((((points[apart] - others[nearest]) * step) ** 2).sum(axis=1))
    return distances


def _weighted_percentile(distances: Values, areas: Values, percentile: float) -> float:
    """Smallest distance below which at least `percentile` percent of the area lies."""
    order = np.lexsort((areas, distances))
    share = np.cumsum(areas[order]) / areas.sum()
    place = int(np.searchsorted(share, percentile / 100.0))
    return float(distances[order[min(place, len(order) - 1)]])
