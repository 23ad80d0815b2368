"""How far predicted tumour sizes are from those published of a population: a validator that reads no label.

The statistics (conf/population) say as much of a target cohort as its patients resemble those that were published.
Where they are these, as in BraTS-PEDs itself or in synthetic children drawn to the same quantiles
(`pedseg.phantom.sizes`), the statistics sum up labels of the target, and the validator looks better than it is
elsewhere. Nor is it independent of a network that was trained towards the same statistics (`prior.bounds`,
`mean_teacher.shares`).
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pedseg.settings.population import Population

Volumes = tuple[float, float, float]  # of WT, TC and ET in mm³

PROBABILITIES = (0.05, 0.25, 0.5, 0.75, 0.95)
SMALLEST_MM3 = 1000.0  # that a smaller or empty WT counts as, so that its logarithm is finite


def nested_volumes(masks: NDArray[np.bool_], spacing_mm: Sequence[float]) -> Volumes:
    """Volumes of predicted regions as the label map holds them, where TC is in WT and ET in both.

    Args:
        masks: (regions, D, H, W) in the order WT, TC, ET, from a network that may mark a part outside the whole.
        spacing_mm: size of a voxel.
    """
    wt, tc, et = masks
    core = tc | et
    voxel_mm3 = math.prod(spacing_mm)
    counts = (np.count_nonzero(wt | core), np.count_nonzero(core), np.count_nonzero(et))
    return (float(counts[0] * voxel_mm3), float(counts[1] * voxel_mm3), float(counts[2] * voxel_mm3))


def published_sizes(cases: Sequence[Volumes], population: Population) -> float:
    """Minus the mean distance of three distributions to the published ones; 0 at best.

    The distributions are of ``log10(max(WT, SMALLEST_MM3))``, of TC/WT and of ET/WT; both ratios are 0 where nothing is
    predicted. A distance is the mean absolute difference of the quantiles of `PROBABILITIES` (of the cases with linear
    interpolation), so that a tenfold WT and a ratio of 1 for 0 weigh the same. It sees a cohort: a network that finds
    the right sizes in the wrong places is as good as any. And it sees chance: by their labels, 20 children drawn from
    the 99 of BraTS-PEDs 2023 with replacement score -0.07 in the mean (90 % of the draws: -0.10 to -0.04).

    Args:
        cases: at least one.
        population: that the cases are thought to come from.
    """
    wt, tc, et = np.array(cases, dtype=np.float64).T
    whole = np.where(wt > 0, wt, 1.0)
    pairs = (
        (np.log10(np.maximum(wt, SMALLEST_MM3)), np.log10(quantiles(population.volume_mm3.wt))),
        (tc / whole, quantiles(population.share_of_wt.tc)),
        (et / whole, quantiles(population.share_of_wt.et)),
    )
    distances = [np.abs(np.quantile(values, PROBABILITIES) - published).mean() for values, published in pairs]
    return -float(np.mean(distances))


def quantiles(published: Mapping[float, float]) -> NDArray[np.float64]:
    """Quantiles of `PROBABILITIES`; between the published ones linear in the probability, and 0 below the first."""
    return np.interp(PROBABILITIES, list(published), list(published.values()), left=0.0)
