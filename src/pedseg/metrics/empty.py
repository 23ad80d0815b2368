"""What a metric is worth where a mask is empty: the one place with these values.

Metrics themselves return NaN (0/0) or infinity there; the scores keep these raw values beside the ones of the table.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pedseg.metrics.overlap import Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyMasks:
    """Values of metrics by name; where a mask is empty, a metric that is not named keeps its raw value.

    Attributes:
        both: neither mask has a voxel.
        one: one of them has none.
        apart: both have some, but none in common.
        no_lesion: by lesion, where there is nothing to count.
        unpaired: by lesion, for a missed lesion and for a predicted one that is not there.
    """

    both: Mapping[str, float]
    one: Mapping[str, float]
    apart: Mapping[str, float]
    no_lesion: Mapping[str, float]
    unpaired: Mapping[str, float]

    def resolve(self, metric: str, raw: float, counts: Counts) -> float:
        """Value that counts for `metric` of two masks with these counts: the raw one unless the table has an entry."""
        label, prediction = counts.tp + counts.fn, counts.tp + counts.fp
        if not (label or prediction):
            return self.both.get(metric, raw)
        if not (label and prediction):
            return self.one.get(metric, raw)
        return raw if counts.tp else self.apart.get(metric, raw)


# BraTS 2023 and the scores published with Fu et al. 2024; 374 mm is about the diagonal of a 240 × 240 × 155 mm volume.
# Specificity is defined while there is a background voxel, so one empty mask leaves it as it is.
EMPTY_2023 = EmptyMasks(
    both={"dice": 1.0, "hd95_mm": 0.0, "surface_dice": 1.0, "sensitivity": 1.0, "specificity": 1.0},
    one={"dice": 0.0, "hd95_mm": 374.0, "surface_dice": 0.0, "sensitivity": 0.0},
    apart={},
    no_lesion={"dice": 1.0, "hd95_mm": 0.0, "surface_dice": 1.0, "f1": 1.0},
    unpaired={"dice": 0.0, "hd95_mm": 374.0, "surface_dice": 0.0},
)

# brats-evaluation: a region that nobody marked does not count, and masks without a common voxel are as bad as a missing
# one. Its penalty of 373 mm is for whole regions only; by lesion it stays infinite.
EMPTY_2025 = EmptyMasks(
    both={"dice": math.nan, "hd95_mm": math.nan, "surface_dice": math.nan},
    one={"dice": 0.0, "hd95_mm": 373.0, "surface_dice": 0.0},
    apart={"dice": 0.0, "hd95_mm": 373.0, "surface_dice": 0.0},
    no_lesion={"dice": math.nan, "hd95_mm": math.nan, "surface_dice": math.nan, "f1": math.nan},
    unpaired={"dice": 0.0, "hd95_mm": math.inf, "surface_dice": 0.0},
)
