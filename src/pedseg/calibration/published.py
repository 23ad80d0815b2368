"""The share that is published of such patients: what is known of them, and no more.

Saerens, Latinne and Decaestecker (2002) move the decision by a constant in the logit (eq. 4) where class frequencies
change. The new ones are published, of parts within the whole tumour, which leave its size and place to the network; the
constant is the logit above which the part has its share, in the mean over cases (`pedseg.calibration.cut`). It is as
right as the figure is.
"""

from collections.abc import Sequence

from pedseg.calibration.counts import Floats

Known = float | Sequence[float]


def published(known: Known, own: float) -> float:
    """Share of a part: the published one; of an interval, what lies nearest to the `own` share that a network finds."""
    if isinstance(known, float | int):
        return float(known)
    low, high = known
    return float(min(max(own, low), high))


def own_share(cases: Floats) -> float:
    """Mean over cases (cases, bins) of the share above logit 0: what the network finds by itself."""
    return float(cases[:, cases.shape[1] // 2 :].sum() / len(cases))
