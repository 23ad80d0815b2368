"""Bootstrap over seeds and cases, of means and of the share of a gap that is closed.

Each resample draws seeds, then test cases, both with replacement, and takes the same cases in every seed: all seeds are
tested on the same children, so that what a child has in common over the seeds must not average out. Models of one
resample share its seeds and cases, so that differences and ratios are paired. With one seed only cases are drawn.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

INTERVAL = (2.5, 97.5)  # percentiles of the 95 % interval
MOST_WITHOUT_GAP = 0.025  # share of resamples with no positive gap, beyond which a ratio to it has no interval
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its 95 % percentile interval; NaN for what cannot be had."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True, slots=True)
class Draw:
    """How often each resample takes each seed (resamples, seeds) and each case (resamples, cases)."""

    seeds: Floats
    cases: Floats

    @classmethod
    def make(cls, seeds: int, cases: int, *, resamples: int, seed: int) -> "Draw":
        """Draw with replacement; one seed is taken once in every resample."""
        rng = np.random.default_rng(seed)
        return cls(*(_counts(rng, size, resamples) for size in (seeds, cases)))

    def means(self, values: Floats) -> Floats:
        """Means (resamples,) of values (seeds, cases) or (regions, seeds, cases); NaN values count nothing."""
        known = np.isfinite(values)
        total = np.einsum("rs,rn,...sn->...r", self.seeds, self.cases, np.where(known, values, 0.0), optimize=True)
        number = np.einsum("rs,rn,...sn->...r", self.seeds, self.cases, known.astype(np.float64), optimize=True)
        found = np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)
        return found if found.ndim == 1 else np.asarray(found.mean(axis=0))


def mean(values: Floats) -> float:
    """Mean of values (seeds, cases), or mean over regions of that of (regions, seeds, cases); NaN counts nothing."""
    return float(Draw(np.ones((1, values.shape[-2])), np.ones((1, values.shape[-1]))).means(values)[0])


def estimate_mean(values: Floats, draw: Draw) -> Estimate:
    """Mean of values (seeds, cases) or (regions, seeds, cases) with its interval."""
    return Estimate(mean(values), *_interval(draw.means(values)))


def estimate_difference(first: Floats, second: Floats, draw: Draw) -> Estimate:
    """Mean of first − second, both of the same seeds and cases, with its paired interval."""
    return Estimate(mean(first) - mean(second), *_interval(draw.means(first) - draw.means(second)))


def estimate_closed(method: Floats, lower: Floats, upper: Floats, draw: Draw) -> Estimate:
    """Share ``(method − lower) / (upper − lower)`` of a gap between means, with its paired interval.

    Args:
        method: scores (seeds, cases), or (regions, seeds, cases) for the mean of regions.
        lower: of the lower bound, the same seeds and cases.
        upper: of the upper bound.
        draw: resamples of these seeds and cases.

    Returns:
        NaN where the gap is not positive; a value without an interval where it is not positive in more than
        `MOST_WITHOUT_GAP` of the resamples, since the interval of such a ratio has no ends.
    """
    gap = mean(upper) - mean(lower)
    if not gap > 0:
        return Estimate(math.nan)
    value = (mean(method) - mean(lower)) / gap
    low = draw.means(lower)
    gaps = draw.means(upper) - low
    if np.mean(~(gaps > 0)) > MOST_WITHOUT_GAP:
        return Estimate(value)
    return Estimate(value, *_interval((draw.means(method) - low)[gaps > 0] / gaps[gaps > 0]))


def without_gap(lower: Floats, upper: Floats, draw: Draw) -> float:
    """Share of the resamples in which the gap upper − lower is not positive."""
    return float(np.mean(~(draw.means(upper) - draw.means(lower) > 0)))


def _counts(rng: np.random.Generator, size: int, resamples: int) -> Floats:
    return rng.multinomial(size, np.full(size, 1 / size), size=resamples).astype(np.float64)


def _interval(resampled: Floats) -> tuple[float, float]:
    known = resampled[np.isfinite(resampled)]
    if not len(known):
        return math.nan, math.nan
    low, high = np.percentile(known, INTERVAL)
    return float(low), float(high)
