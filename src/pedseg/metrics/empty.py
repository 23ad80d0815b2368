"""What a metric is worth where a mask is empty: the one table of it.

The values are those of the BraTS 2023 evaluation and of the per-case scores published with Fu et al. 2024. Metrics
themselves return NaN (0/0) or infinity there; both are kept in the scores.
"""

from collections.abc import Mapping

WORST_DISTANCE_MM = 374.0  # about the diagonal of a 240 × 240 × 155 mm volume

BOTH_EMPTY: Mapping[str, float] = {"dice": 1.0, "hd95_mm": 0.0, "sensitivity": 1.0, "specificity": 1.0}
ONE_EMPTY: Mapping[str, float] = {"dice": 0.0, "hd95_mm": WORST_DISTANCE_MM, "sensitivity": 0.0}


def resolve(metric: str, raw: float, *, label_empty: bool, prediction_empty: bool) -> float:
    """Value that counts for `metric`: the raw one, unless a mask is empty and the table has an entry.

    Specificity is defined while there is a background voxel, so one empty mask leaves it as it is.
    """
    if label_empty and prediction_empty:
        return BOTH_EMPTY[metric]
    if label_empty or prediction_empty:
        return ONE_EMPTY.get(metric, raw)
    return raw
