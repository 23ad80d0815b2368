"""Thresholds at which a network's Dice is highest on a few labelled cases: what labels give without a training.

The control beside calibrations that read no label.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pedseg.errors import PedsegError
from pedseg.ignored import parted
from pedseg.labels import Region
from pedseg.metrics.histogram import WIDTH, bins_of, histogram

LIMIT = 30.0  # of the logits that thresholds are looked for among
Floats = NDArray[np.float64]


class BestThresholds:
    """For each region the logit above which the mean Dice over the counted cases is highest.

    Logits are looked at in steps of `WIDTH`; of several that are as good the one nearest to 0 is taken, and 0 itself
    where none is better. A case without the region counts 1 where nothing of it is found, and 0 otherwise.
    """

    def __init__(self) -> None:
        self._dice: list[Floats] = []

    def count(self, logits: Tensor, label: Tensor) -> None:
        """Count a case: logits (regions, d, h, w), and a label of these regions, which may ignore voxels."""
        regions, ignored = parted(label.bool(), len(logits))
        if ignored is not None:
            logits, regions = (voxels[:, ~ignored[0]] for voxels in (logits, regions))
        self._dice.append(np.stack([_dice_above(*pair) for pair in zip(logits, regions, strict=True)]))

    def thresholds(self) -> list[float]:
        """A logit for each region.

        Raises:
            PedsegError: no case was counted.
        """
        if not self._dice:
            raise PedsegError("no labelled case was counted, so no threshold is better than another")
        return [_best(dice) for dice in np.mean(self._dice, axis=0)]

    def dice(self) -> dict[str, float]:
        """Highest mean Dice of each region on the counted cases, which flatters: they chose the threshold."""
        return {
            str(region): float(dice.max()) for region, dice in zip(Region, np.mean(self._dice, axis=0), strict=True)
        }


def edges() -> Floats:
    """Logits (bins + 1,) that thresholds are chosen among."""
    half = bins_of(LIMIT) // 2
    return np.asarray(WIDTH * np.arange(-half, half + 1), dtype=np.float64)


def _dice_above(logits: Tensor, mask: Tensor) -> Floats:
    """Dice (bins + 1,) above each of `edges`, of a region of a case."""
    found, right = (_above(histogram(values, limit=LIMIT)) for values in (logits, logits[mask]))
    size = float(mask.sum())
    if not size:
        return np.asarray(found == 0, dtype=np.float64)
    dice: Floats = 2 * right / (found + size)
    return dice


def _above(counts: Tensor) -> Floats:
    """How many lie above each edge (bins + 1,)."""
    upto = np.pad(np.cumsum(counts.cpu().numpy(), dtype=np.float64), (1, 0))
    return np.asarray(upto[-1] - upto, dtype=np.float64)


def _best(dice: Floats) -> float:
    best = np.flatnonzero(dice >= dice.max() - 1e-9)
    places = edges()[best]
    return float(places[np.abs(places).argmin()])
