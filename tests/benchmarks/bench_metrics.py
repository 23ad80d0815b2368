"""Time the scores of one case of 240 × 240 × 155 voxels and three regions against surface-distance.

Run: ``python tests/benchmarks/bench_metrics.py``. Both compute Dice and HD95 of the same nested blobs; they take turns
and medians are compared. The time of all scores of a case, lesion-wise ones included, is shown besides; the reference
has no such thing.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pedseg.metrics import count_voxels, dice, hausdorff_distance_mm, score_case

SHAPE = (155, 240, 240)
SPACING_MM = (1.0, 1.0, 1.0)
RADII_MM = {"wt": 32.0, "tc": 22.0, "et": 13.0}

Masks = NDArray[np.bool_]
Figures = list[tuple[float, float]]


def tumour(seed: int) -> Masks:
    """Nested region masks (3, Z, Y, X) with rough borders, about the size of a median adult tumour."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(SHAPE), 3)
    axes = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij", sparse=True)
    centre = (80, 110 + seed, 90)
    distance = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True)))
    return np.stack([distance + 60 * noise < radius for radius in RADII_MM.values()])


def ours(prediction: Masks, label: Masks) -> Figures:
    """Dice and HD95 of each region by pedseg."""
    return [
        (dice(count_voxels(p, g)), hausdorff_distance_mm(p, g, spacing_mm=SPACING_MM))
        for p, g in zip(prediction, label, strict=True)
    ]


def theirs(prediction: Masks, label: Masks) -> Figures:
    """Dice and HD95 of each region by surface-distance."""
    import surface_distance as reference

    figures = []
    for p, g in zip(prediction, label, strict=True):
        distances = reference.compute_surface_distances(g, p, SPACING_MM)
        dice = reference.compute_dice_coefficient(g, p)
        figures.append((float(dice), float(reference.compute_robust_hausdorff(distances, 95))))
    return figures


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    """Print both times, their ratio and the largest difference of the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    prediction, label = tumour(0), tumour(4)
    difference = np.abs(np.subtract(ours(prediction, label), theirs(prediction, label))).max()
    times: dict[str, list[float]] = {"pedseg": [], "surface-distance": [], "all scores": []}
    for _ in range(repeats):
        times["pedseg"].append(seconds(lambda: ours(prediction, label)))
        times["surface-distance"].append(seconds(lambda: theirs(prediction, label)))
        times["all scores"].append(seconds(lambda: score_case(prediction, label, spacing_mm=SPACING_MM)))
    medians = {name: statistics.median(values) for name, values in times.items()}
    volumes = " ".join(f"{name} {int(mask.sum())}" for name, mask in zip(RADII_MM, label, strict=True))
    print(f"case {SHAPE[::-1]}, label voxels {volumes}")
    for name, value in medians.items():
        print(f"{name:>16}: {1000 * value:7.1f} ms (median of {repeats})")
    ratio = medians["surface-distance"] / medians["pedseg"]
    print(f"ratio {ratio:.1f} times faster; largest difference of Dice and HD95 {difference:.1e}")


if __name__ == "__main__":
    main()
