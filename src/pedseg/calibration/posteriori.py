"""A published share that the target's images may overrule: the share of the greatest posterior probability.

As `pedseg.calibration.estimated`, with a Beta prior whose mode is the published share and which weighs as much as a
stated number of cases, so that each iteration of EM would set the share to

    (sum over cases of their mean posterior + weight · published) / (cases + weight)

(as MAPLS: Ye et al., WACV 2024, "Label shift estimation for class-imbalance problem: a Bayesian approach"; here the
prior is centred on a published figure).
"""

from pedseg.calibration.counts import Floats
from pedseg.calibration.estimated import likeliest


def posteriori(cases: Floats, ratios: Floats, *, published: float, weight: float) -> float:
    """Share of a part in the target.

    Args:
        cases: (cases, bins) histograms, each with sum 1.
        ratios: (bins,) p(l | part) / p(l | rest) of each bin.
        published: share that is expected.
        weight: how many cases the expectation weighs as much as.
    """
    return float(likeliest(cases.mean(0)[None], ratios, centre=published, weight=weight / len(cases))[0])
