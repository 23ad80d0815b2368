"""The share that the target's own logits speak for: EM for label shift.

Saerens, Latinne and Decaestecker (2002, "Adjusting the outputs of a classifier to new a priori probabilities"): where a
part has another share in the target and looks the same within, its share q there is that of the greatest likelihood

    sum over logits l of h(l) · log(q · r(l) + 1 - q),   r(l) = p(l | part) / p(l | rest)

with h the mean over cases of their histograms, so that each case weighs the same. Their iteration (eq. 9: q becomes the
mean of the posteriors that go with q) climbs to it slowly where parts look alike. Here there are two classes, the
likelihood is concave, and its maximum is found by halving the interval in which its slope changes sign.
"""

import numpy as np

from pedseg.calibration.counts import Floats

LEAST = 1e-3  # share that a part, or the rest, always keeps: the logit of 0 is no threshold
HALVINGS = 50
RESAMPLES = 1000  # of the cases
INTERVAL = 0.95


def estimated(cases: Floats, ratios: Floats) -> float:
    """Share of a part in the target.

    Args:
        cases: (cases, bins) histograms, each with sum 1.
        ratios: (bins,) r of each bin.
    """
    return float(likeliest(cases.mean(0)[None], ratios)[0])


def interval(cases: Floats, ratios: Floats, *, seed: int = 0) -> tuple[float, float]:
    """Bootstrap interval of it (2.5 and 97.5 %) over cases; how the source was calibrated is taken as known."""
    drawn = np.random.default_rng(seed).multinomial(len(cases), np.full(len(cases), 1 / len(cases)), size=RESAMPLES)
    low, high = np.quantile(likeliest(drawn @ cases / len(cases), ratios), [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return float(low), float(high)


def likeliest(histograms: Floats, ratios: Floats, *, centre: float = 0.5, weight: float = 0.0) -> Floats:
    """Shares (n,) of the greatest likelihood of histograms (n, bins) with sum 1, between `LEAST` and 1 - `LEAST`.

    Args:
        histograms: of logits.
        ratios: (bins,) r of each bin.
        centre: of a Beta prior.
        weight: of it, in histograms; 0 for none.
    """
    low, high = np.full(len(histograms), LEAST), np.full(len(histograms), 1 - LEAST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        slope = (histograms * ((ratios - 1) / (middle[:, None] * (ratios - 1) + 1))).sum(1)
        slope += weight * (centre / middle - (1 - centre) / (1 - middle))
        low, high = np.where(slope > 0, middle, low), np.where(slope > 0, high, middle)
    shares: Floats = (low + high) / 2
    return shares
