"""How large tumours are: joint draws whose quantiles are the published ones, and the distance to these.

Paediatric: the region sizes of the 99 BraTS-PEDs 2023 training cases as published with Fu et al. 2024
(arXiv:2406.16848). Adult: 24 public BraTS 2018/2021 training cases, and the fraction without enhancement over all 1251
adults of BraTS 2021 (same paper).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from pedseg.labels import Region
from pedseg.phantom.noise import case_generator

_STEPS = np.array([(5**0.5 - 1) / 2, 2**0.5, 3**0.5, 7**0.5])  # of the Kronecker sequence; first the golden ratio
_LARGEST_CORE = 0.97  # enhancing part of the core, at most, where the draws would exceed it


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A distribution given by some of its quantiles; between them the logarithm is linear in the probability.

    Attributes:
        probabilities: ascending, from the fraction of zeros to 1.
        values: the quantiles there, positive.
    """

    probabilities: tuple[float, ...]
    values: tuple[float, ...]

    def at(self, probability: float) -> float:
        """Quantile of `probability`; 0 below the first."""
        if probability < self.probabilities[0]:
            return 0.0
        return float(np.exp(np.interp(probability, self.probabilities, np.log(self.values))))

    def below(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of not exceeding `values`."""
        logarithm = np.log(np.maximum(values, 1e-12))
        inside = np.interp(logarithm, np.log(self.values), self.probabilities, right=1.0)
        zero_or_less = self.probabilities[0]
        return np.where(values > 0, np.maximum(inside, zero_or_less), zero_or_less)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Volumes of a tumour's nested regions in mm³."""

    wt: float
    tc: float
    et: float


@dataclass(frozen=True, slots=True)
class SizeModel:
    """Joint distribution of the sizes of a cohort.

    Attributes:
        whole: WT in mm³.
        core: share of WT; of its core if `core_is_oedema` is False, of its oedema otherwise.
        core_is_oedema: whether `core` is about ED/WT, which resolves the atom at TC = WT.
        enhancing: ET/WT.
        correlation: normal-score correlations WT-core, WT-enhancing, core-enhancing.
        published: quantiles of each region in mm³, what a cohort is compared with.
    """

    whole: Quantiles
    core: Quantiles
    core_is_oedema: bool
    enhancing: Quantiles
    correlation: tuple[float, float, float]
    published: Mapping[Region, Quantiles]


_P = (0.05, 0.25, 0.5, 0.75, 0.95)
_Q = (0.0, *_P, 1.0)

SIZE_MODELS: Mapping[str, SizeModel] = {
    "adult": SizeModel(
        whole=Quantiles(_Q, (18000, 27846, 48189, 86850, 162474, 225565, 260000)),
        core=Quantiles(_Q, (0.02, 0.03, 0.12, 0.38, 0.50, 0.82, 0.92)),
        core_is_oedema=False,
        enhancing=Quantiles((0.026, *_P, 1.0), (2e-6, 2e-5, 0.005, 0.06, 0.16, 0.45, 0.6)),
        correlation=(0.45, 0.2, 0.5),
        published={
            Region.WT: Quantiles(_Q, (18000, 27846, 48189, 86850, 162474, 225565, 260000)),
            Region.TC: Quantiles(_Q, (500, 982, 8046, 30692, 63436, 166409, 220000)),
            Region.ET: Quantiles((0.026, *_P, 1.0), (0.5, 2, 289, 2566, 22170, 31789, 60000)),
        },
    ),
    "ped": SizeModel(
        whole=Quantiles(_Q, (7800, 11604, 22904, 39908, 77847, 154841, 170000)),
        core=Quantiles((0.424, 0.45, 0.5, 0.6, 0.75, 0.95, 1.0), (2e-6, 2.3e-5, 6.1e-5, 1.4e-4, 0.056, 0.513, 0.786)),
        core_is_oedema=True,
        enhancing=Quantiles(
            (0.111, 0.15, 0.22, 0.25, 0.5, 0.75, 0.95, 1.0), (1e-5, 1e-4, 1.5e-3, 8e-3, 0.113, 0.255, 0.548, 0.8)
        ),
        correlation=(0.50, 0.12, 0.22),
        published={
            Region.WT: Quantiles(_Q, (7800, 11604, 22904, 39908, 77847, 154841, 170000)),
            Region.TC: Quantiles(_Q, (7800, 11604, 22314, 36094, 63538, 120691, 161000)),
            Region.ET: Quantiles((0.111, 0.222, 0.25, 0.5, 0.75, 0.95, 1.0), (1, 60, 291, 3757, 13217, 44402, 64000)),
        },
    ),
}


def uniform_draws(*, cohort: str, seed: int, index: int) -> NDArray[np.float64]:
    """Four numbers in (0, 1) for case `index`: size, core, enhancement, site.

    They are a Kronecker sequence with a random start for each seed and cohort: uniform, and evenly spread over any run
    of cases, so that a small cohort already has the quantiles of a large one.
    """
    start = case_generator(seed=seed, cohort=cohort, index=0, purpose="sizes").random(4)
    draws: NDArray[np.float64] = np.clip((start + index * _STEPS) % 1.0, 1e-6, 1 - 1e-6)
    return draws


def draw_sizes(model: SizeModel, draws: NDArray[np.float64]) -> Sizes:
    """Turn three uniform numbers into sizes, by a Gaussian copula."""
    wt_core, wt_et, core_et = model.correlation
    matrix = np.array([[1, wt_core, wt_et], [wt_core, 1, core_et], [wt_et, core_et, 1]])
    whole, core, enhancing = (float(p) for p in ndtr(np.linalg.cholesky(matrix) @ ndtri(draws[:3])))
    wt = model.whole.at(whole)
    share = model.core.at(core)
    tc = wt * (1 - share if model.core_is_oedema else share)
    return Sizes(wt, tc, min(wt * model.enhancing.at(enhancing), _LARGEST_CORE * tc))


def kolmogorov_smirnov(sizes: Sequence[float] | NDArray[np.float64], published: Quantiles) -> float:
    """Largest distance between the distribution of `sizes` and the published one; an atom at 0 is compared as one."""
    ordered, counts = np.unique(np.asarray(sizes, dtype=float), return_counts=True)
    upto = np.cumsum(counts) / counts.sum()
    reference = published.below(ordered)
    before = np.where(ordered > 0, reference, 0.0)  # limit from below; only 0 has mass of its own
    return float(max(np.abs(upto - reference).max(), np.abs(upto - counts / counts.sum() - before).max()))
