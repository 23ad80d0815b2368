"""From logits to probabilities that mean what they say: bias-corrected temperature scaling on held-out source cases.

Alexandari, Kundaje and Shrikumar (ICML 2020, "Maximum likelihood with bias-corrected calibration is hard-to-beat at
label shift adaptation"): for two classes p = sigmoid(a·l + b) of a logit l, a > 0, with the least mean negative
log-likelihood. Each case weighs the same. Since b is fitted too, the mean of p over these cases is the mean share of
the part: the source prior that the network's posteriors go with.
"""

from dataclasses import dataclass

import numpy as np

from pedseg.calibration.counts import Floats, centres
from pedseg.errors import PedsegError

STEPS = 200  # Newton's
ENOUGH = 1e-10  # change of a and b at which it ends
RIDGE = 1e-6  # on a - 1 and b, in nats: what cannot be told from the cases stays where the network has it
LEAST_SHARE = 1e-4  # mean part of the voxels that each class has, in the source


@dataclass(frozen=True, slots=True)
class Posterior:
    """Probability of a part, given its logit, as it is in the source.

    Attributes:
        slope: a.
        offset: b.
        prior: mean probability over the source cases.
    """

    slope: float
    offset: float
    prior: float

    def probabilities(self, logits: Floats) -> Floats:
        """P of logits of any shape."""
        return sigmoid(self.slope * logits + self.offset)

    def ratios(self, logits: Floats) -> Floats:
        """p(l | part) / p(l | rest): the odds of p over those of the prior (Bayes), at most 1e12 or its inverse."""
        log = self.slope * logits + self.offset - logit(self.prior)
        return np.exp(np.clip(log, -27.6, 27.6))

    def threshold(self, share: float) -> float:
        """Logit at which the probability is one half where the part has another share than in the source.

        Saerens, Latinne and Decaestecker (2002), eq. 4: the logit moves by log(w1 / w0), where w1 is the new share over
        the prior and w0 the same of the rest.
        """
        return -(self.offset + logit(share) - logit(self.prior)) / self.slope


def fit_posterior(inside: Floats, outside: Floats, *, what: str) -> Posterior:
    """Fit to histograms (cases, bins) of voxels that belong to the part and of those that do not.

    Raises:
        PedsegError: no case has any voxel, one of the two is missing, or probabilities do not rise with logits.
    """
    sums = (inside + outside).sum(-1)
    if not sums.any():
        raise PedsegError(f"{what}: the network finds no tumour in any held-out source case; train it longer")
    found = sums > 0
    positive, negative = ((counts[found] / sums[found, None]).mean(0) for counts in (inside, outside))
    if min(positive.sum(), negative.sum()) < LEAST_SHARE:
        raise PedsegError(
            f"{what}: has {positive.sum():.2%} of what the network finds around it in held-out source cases, so "
            "nothing tells how its logits differ from the others'; give source cases that have both"
        )
    slope, offset = _newton(positive, negative)
    if slope <= 0:
        raise PedsegError(
            f"{what}: is no likelier where its logit is higher (slope {slope:.2f} on held-out source cases), so no "
            "share can be read from logits; the network has not learnt it"
        )
    return Posterior(slope, offset, float(sigmoid(slope * centres() + offset) @ (positive + negative)))


def _newton(positive: Floats, negative: Floats) -> tuple[float, float]:
    """Slope and offset of the least negative log-likelihood of two weighted histograms (bins,)."""
    design = np.stack([centres(), np.ones(len(positive))])
    start = np.array([1.0, 0.0])
    weights = start
    for _ in range(STEPS):
        p = sigmoid(weights @ design)
        gradient = design @ ((positive + negative) * p - positive) + RIDGE * (weights - start)
        curvature = (design * ((positive + negative) * p * (1 - p))) @ design.T + RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step / max(1.0, float(np.abs(step).max()))  # at most 1: far steps overshoot
        if float(np.abs(step).max()) < ENOUGH:
            break
    return float(weights[0]), float(weights[1])


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    half: Floats = 0.5 * (1 + np.tanh(x / 2))
    return half


def logit(share: float) -> float:
    """Its inverse, of a share between 0 and 1."""
    return float(np.log(share) - np.log1p(-share))
