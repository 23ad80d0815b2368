"""Whether a label lies on what looks like tumour, or would if it were turned over.

Tumour and oedema are brighter than the brain in T2 and in FLAIR. A label that lies on ordinary brain is of another
case, or its axes are turned; the latter is told where a turned copy of it lies on brighter tissue than itself.
"""

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.errors import Severity
from pedseg.imaging.brain import inside, inside_any
from pedseg.imaging.integrity.findings import Findings
from pedseg.imaging.integrity.grids import Volumes
from pedseg.labels import Modality

AXES = "zyx"
TURNS = tuple(axes for number in (1, 2, 3) for axes in combinations(range(3), number))
ENOUGH = 20_000  # voxels of the tumour
MARGIN = 0.5  # interquartile ranges of the brain by which a turned label must lie brighter
LEAST = 0.0  # that a label lies above the brain's median
FIX = "see whether label and images are of one case and in the same axes; export it again"


def check_lesion(
    findings: Findings, name: str, tumour: NDArray[np.bool_], volumes: Volumes, background: float | None
) -> None:
    """Warn of a label that does not lie on what is bright in T2 and FLAIR, or would lie there if it were turned."""
    images = [volume.data for m in (Modality.T2W, Modality.T2F) if (volume := volumes[m]) is not None]
    places = np.argwhere(tumour)
    places = places[:: max(1, len(places) // ENOUGH)]
    scale = [np.percentile(data[inside(data, background)], (25, 50, 75)) for data in images]

    def brightness(axes: tuple[int, ...]) -> float:
        """Of the label turned along some axes; minus infinity where most of it lies outside the brain then."""
        turned = places.copy()
        for axis in axes:
            turned[:, axis] = tumour.shape[axis] - 1 - turned[:, axis]
        return _brightness([data[tuple(turned.T)] for data in images], scale, background)

    here, (there, axes) = brightness(()), max((brightness(axes), axes) for axes in TURNS)
    what = f"its tumour lies {here:+.1f} interquartile ranges from the brain's median in t2w and t2f"
    if there - here > MARGIN:
        turn = ", ".join(AXES[axis] for axis in axes)
        findings.add(name, f"{what}, and turned over along {turn} it would lie at {there:+.1f}", FIX, Severity.WARNING)
    elif here < LEAST:
        findings.add(name, f"{what}: it is no brighter than brain", FIX, Severity.WARNING)


def _brightness(values: list[NDArray[Any]], scale: list[NDArray[Any]], background: float | None) -> float:
    kept = inside_any(values, background)
    if 2 * np.count_nonzero(kept) < len(kept):
        return -np.inf
    each = [
        (np.median(v[kept]) - middle) / max(high - low, 1e-6)
        for v, (low, middle, high) in zip(values, scale, strict=True)
    ]
    return float(np.mean(each))
