"""Whether probabilities mean what they say: reliability and expected calibration error on held-out source cases.

Guo et al. 2017 ("On Calibration of Modern Neural Networks", eqs. 3 and 5), for voxels: in each of `BINS` bins of equal
width the mean probability beside the share of voxels that are of the region. Voxels of a probability below `LEAST` are
left out, since nearly the whole brain is surely no tumour and would hide the rest. Every case weighs the same.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from pedseg.labels import Region

BINS = 15
LEAST = 0.01
Floats = NDArray[np.float64]


def binned(logits: NDArray[np.floating], truth: NDArray[np.bool_]) -> Floats:
    """Share of the voxels, of their probability and of those that are true, by bin.

    Args:
        logits: (n,) of the voxels of one brain, for one region.
        truth: (n,) whether they are of it.

    Returns:
        (3, bins), each divided by the number of voxels that count; zeros if none does.
    """
    probability = expit(logits.astype(np.float64))
    counted = probability >= LEAST
    probability, truth = probability[counted], truth[counted]
    index = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    sums = [np.bincount(index, weights=w, minlength=BINS) for w in (np.ones(len(index)), probability, truth)]
    return np.stack(sums) / max(len(index), 1)


def reliability(cases: Sequence[NDArray[np.floating]]) -> list[dict[str, str | float | None]]:
    """A row per region and bin, in plain JSON; none without a case.

    Keys: region, low, high, weight (share of the voxels), probability and truth (means in the bin; None in an empty
    one) and ece, which is that of the region.

    Args:
        cases: of `binned` values (regions, 3, bins).
    """
    rows: list[dict[str, str | float | None]] = []
    for number, region in enumerate(Region) if cases else ():
        known = [case[number] for case in cases if case[number][0].any()]
        sums = np.mean(known, axis=0) if known else np.zeros((3, BINS))
        error = float(np.abs(sums[1] - sums[2]).sum()) if known else None
        rows += [{"region": str(region), **_bin(sums, place), "ece": error} for place in range(BINS)]
    return rows


def _bin(sums: Floats, place: int) -> dict[str, float | None]:
    weight, probability, truth = map(float, sums[:, place])
    return {
        "low": place / BINS,
        "high": (place + 1) / BINS,
        "weight": weight,
        "probability": probability / weight if weight else None,
        "truth": truth / weight if weight else None,
    }
