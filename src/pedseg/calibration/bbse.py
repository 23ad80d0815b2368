"""The share that the target's decisions speak for: black-box shift estimation.

Lipton, Wang and Smola (ICML 2018, "Detecting and correcting for label shift with black box predictors"): where a part
has another share q in the target and looks the same within, the network calls q · tpr + (1 - q) · fpr of the voxels the
part, with the rates that it has in the source. Only decisions count, not how sure they are, so the network need not be
calibrated; the estimate scatters more than that of the greatest likelihood.
"""

from pedseg.calibration.counts import Floats, shares_of
from pedseg.calibration.estimated import LEAST
from pedseg.errors import PedsegError

LEAST_DIFFERENCE = 0.05  # of the two rates; below, a percent of false alarms more moves the share by a fifth


def bbse(cases: Floats, inside: Floats, outside: Floats, *, what: str) -> float:
    """Share of a part in the target: (called - fpr) / (tpr - fpr), between `LEAST` and 1 - `LEAST`.

    Args:
        cases: (cases, bins) histograms of the target, each with sum 1.
        inside: (cases, bins) counts of the source voxels that belong to the part.
        outside: the same of those that do not.
        what: the part, for messages.

    Raises:
        PedsegError: the confusion matrix is singular, or nearly so.
    """
    sums = (inside + outside).sum(-1, keepdims=True).clip(min=1)
    tpr, fpr = (_called((counts / sums).sum(0, keepdims=True)) for counts in (inside, outside))
    if tpr - fpr < LEAST_DIFFERENCE:
        raise PedsegError(
            f"{what}: the network calls {tpr:.0%} of the voxels in it so and {fpr:.0%} of the others, in held-out "
            "source cases; no share can be told from its decisions. Use another rule than bbse"
        )
    share = (_called(cases.mean(0, keepdims=True)) - fpr) / (tpr - fpr)
    return min(max(share, LEAST), 1 - LEAST)


def _called(histogram: Floats) -> float:
    """Part of a histogram (1, bins) that lies above logit 0; 0 of an empty one."""
    shares = shares_of(histogram)
    return float(shares[:, shares.shape[1] // 2 :].sum())
