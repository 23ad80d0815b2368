"""How large tumours are: joint draws whose quantiles are those published of a population, and the distance to these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from pedseg.labels import Region
from pedseg.phantom.noise import case_generator
from pedseg.settings.population import load_population

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


@cache
def size_model(name: str) -> SizeModel:
    """Sizes by the statistics of a population in conf/population."""
    population = load_population(name)
    parts, correlation = population.share_of_wt, population.correlation
    assert correlation is not None  # noqa: S101  (the files of all shifts say it)
    return SizeModel(
        whole=_quantiles(population.volume_mm3.wt),
        core=_quantiles(parts.ed or parts.tc),
        core_is_oedema=parts.ed is not None,
        enhancing=_quantiles(parts.et),
        correlation=(correlation.wt_core, correlation.wt_et, correlation.core_et),
        published={Region(region): _quantiles(values) for region, values in population.volume_mm3},
    )


def _quantiles(published: Mapping[float, float]) -> Quantiles:
    return Quantiles(tuple(published), tuple(published.values()))


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
