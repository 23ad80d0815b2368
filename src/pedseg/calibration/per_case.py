"""A share for each case: a mixture of cases in which the part fills, or leaves out, all around it, and of others.

Children are of two kinds: in 42 of 99 the tumour core is the whole tumour, in the others oedema lies around it; and 11
of 99 have no enhancing tumour. So the share of a case is thought to be drawn with probability `extreme` as 0.99 of the
whole tumour for the core ("no oedema"; 0.01 of the core for enhancing tumour, "absent"), and otherwise from a Beta
distribution. Given a case's histogram h and r(l) = p(l | part) / p(l | rest), the likelihood of a share w is

    exp(m · sum over logits l of h(l) · log(w · r(l) + 1 - w))

where m is the number of voxels, but no more than a stated number: neighbours are alike, so that thousands of voxels
tell no more than some dozens of independent ones. `extreme` and the Beta's two parameters are found by EM over the
cases (Dempster, Laird and Rubin 1977; the parameters from the expected mean and variance), and a case has the mean of
its posterior distribution as its share. A case that is predicted later has its share found in the same way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import TypeAdapter
from torch import Tensor

from pedseg.calibration.counts import AROUND, Counts, Floats, centres
from pedseg.calibration.cut import Cut, threshold
from pedseg.calibration.posterior import Posterior
from pedseg.labels import Region

EXTREMES = {Region.TC: 0.99, Region.ET: 0.01}
GRID = (np.arange(100) + 0.5) / 100  # shares
ITERATIONS = 500
MOST_ALIKE = 100.0  # sum of the Beta's parameters: the others are never taken for all alike


@dataclass(frozen=True, slots=True)
class Mixture:
    """What shares cases have.

    Attributes:
        pure: share of the cases at the extreme.
        extreme: how many of the cases are there.
        alpha: of the Beta distribution of the others.
        beta: likewise.
        voxels: most that a case counts for.
    """

    pure: float
    extreme: float
    alpha: float
    beta: float
    voxels: float

    def share(self, counts: Floats, ratios: Floats) -> float:
        """Expected share of a case with the histogram (bins,) of counts; that of the population if it is empty."""
        return float(self.shares(counts[None], ratios)[0])

    def shares(self, counts: Floats, ratios: Floats) -> Floats:
        """Expected shares (cases,) of histograms (cases, bins) of counts."""
        return self._expect(log_likelihoods(counts, ratios, self.voxels, self.pure))[1]

    def _expect(self, log_likelihood: Floats) -> tuple[Floats, Floats, Floats]:
        """Probability (cases,) of the extreme, expected share (cases,), and what each share of `GRID` gets (grid,)."""
        density = GRID ** (self.alpha - 1) * (1 - GRID) ** (self.beta - 1)
        prior = np.concatenate([[self.extreme], (1 - self.extreme) * density / density.sum()])
        joint = prior * np.exp(log_likelihood - log_likelihood.max(1, keepdims=True))
        joint /= joint.sum(1, keepdims=True)
        return joint[:, 0], joint @ np.concatenate([[self.pure], GRID]), joint[:, 1:].sum(0)

    def updated(self, log_likelihood: Floats) -> Self:
        """After one iteration of EM."""
        extreme, _, others = self._expect(log_likelihood)
        mean = float(others @ GRID / others.sum())
        variance = float(others @ (GRID - mean) ** 2 / others.sum())
        size = min(max(mean * (1 - mean) / max(variance, 1e-9) - 1, 2.0), MOST_ALIKE)
        chance = float(np.clip(extreme.mean(), 1e-3, 1 - 1e-3))
        alpha, beta = max(mean * size, 1.0), max((1 - mean) * size, 1.0)  # no mode at an end: that is the extreme's
        return type(self)(self.pure, chance, alpha, beta, self.voxels)


def log_likelihoods(counts: Floats, ratios: Floats, voxels: float, pure: float) -> Floats:
    """Of the share `pure`, and of each of `GRID`, in cases with histograms (cases, bins): (cases, 1 + grid)."""
    numbers = counts.sum(1, keepdims=True)
    weights = counts / numbers.clip(min=1) * np.minimum(numbers, voxels)
    shares = np.concatenate([[pure], GRID])
    likelihoods: Floats = weights @ np.log(shares * (ratios[:, None] - 1) + 1)
    return likelihoods


def fit_mixture(counts: Floats, ratios: Floats, *, part: Region, voxels: float) -> Mixture:
    """Fit to histograms (cases, bins) of counts of a part; cases that count nothing have no say."""
    mixture = Mixture(EXTREMES[part], 0.5, 1.0, 1.0, voxels)
    log_likelihood = log_likelihoods(counts[counts.sum(1) > 0], ratios, voxels, mixture.pure)
    for _ in range(ITERATIONS):
        before, mixture = mixture, mixture.updated(log_likelihood)
        if np.allclose(list(asdict(before).values()), list(asdict(mixture).values()), rtol=1e-6):
            break
    return mixture


@dataclass(frozen=True, slots=True)
class CaseRule:
    """How a part's threshold follows from a case's logits."""

    posterior: Posterior
    mixture: Mixture
    cut: Cut

    def threshold(self, counts: Floats) -> float:
        """A logit, given the histogram (bins,) of the case."""
        share = self.mixture.share(counts, self.posterior.ratios(centres()))
        return threshold(counts, share, self.posterior, cut=self.cut)


@dataclass(frozen=True)
class PerCase:
    """Thresholds that depend on the case: `thresholds` of its logits gives them.

    Attributes:
        parts: the rule of each part; other regions have the threshold 0.
    """

    parts: Mapping[Region, CaseRule]

    RULE: ClassVar[str] = "per_case"

    def thresholds(self, logits: Tensor) -> list[float]:
        """A logit for each region, given the logits (regions, d, h, w) of a whole case, uncut."""
        counts = Counts(1, {part: AROUND[part] for part in self.parts})
        counts.count(0, logits)
        return [self.parts[r].threshold(counts.of(r)[0]) if r in self.parts else 0.0 for r in Region]

    def as_json(self) -> dict[str, Any]:
        """What `of` reads."""
        return {"rule": self.RULE, "parts": {str(part): asdict(rule) for part, rule in self.parts.items()}}

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """From what `as_json` gives.

        Raises:
            ValueError: it is something else.
        """
        return cls(_PARTS.validate_python(content["parts"]))


_PARTS = TypeAdapter(dict[Region, CaseRule])
Thresholds = Sequence[float] | PerCase
