"""The definitions of the metrics in use, by name.

====================  ============================================  ==========================================
                      brats2023                                     brats2025
====================  ============================================  ==========================================
stands for            the paper; ``surface-distance`` 0.1 and the   ``brats-evaluation`` 0.0.10
                      rules of the BraTS 2023 evaluation
surface               elements between voxels, by area              border voxels, all alike
HD95                  larger of the two directed percentiles        percentile of both directions together
surface Dice          share of both areas within 1 mm               mean of two shares, within 0.5 mm; by lesion
                                                                    within the shortest side of a voxel
empty masks           both: 1, 0 mm; one: 0, 374 mm                 both: NaN; one, or none in common: 0, 373 mm
lesions               dilated and merged, those over 50 mm³         components, one to one
mean over lesions     with missed and invented ones (0, 374 mm)     of pairs only (0, infinite if there is none)
====================  ============================================  ==========================================

Where they part: ``brats-evaluation`` measures distances of whole regions in voxels, and takes the spacing of files
in the order (x, y, z) for arrays (z, y, x) where it scores by lesion. At 1 mm, to which BraTS resamples, this makes no
difference; elsewhere `brats2025` is in mm. Sensitivity and specificity are not among its metrics; ours are left raw.
It scores every tissue label besides WT, TC and ET; we score these three.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pedseg.errors import PedsegError
from pedseg.metrics.empty import EMPTY_2023, EMPTY_2025, EmptyMasks
from pedseg.metrics.lesions import Pairing, pair_by_surroundings, pair_one_to_one
from pedseg.metrics.surface import (
    SurfaceDistances,
    border_distances,
    hausdorff_mm,
    mean_surface_dice,
    pooled_hausdorff_mm,
    surface_dice,
    surface_distances,
)

Mask = NDArray[np.bool_]


class Distances(Protocol):
    """Measures the distances between the surfaces of two masks."""

    def __call__(self, prediction: Mask, label: Mask, *, spacing_mm: Sequence[float]) -> SurfaceDistances:
        """Distances between two masks (Z, Y, X) with voxels of `spacing_mm` (z, y, x)."""


class PairLesions(Protocol):
    """Tells which predicted lesion answers which of the label."""

    def __call__(self, prediction: Mask, label: Mask, *, spacing_mm: Sequence[float]) -> Pairing:
        """Pairs of two masks (Z, Y, X) with voxels of `spacing_mm` (z, y, x)."""


class SurfaceDice(Protocol):
    """Share of two surfaces that lies close to the other one."""

    def __call__(self, distances: SurfaceDistances, *, tolerance_mm: float) -> float:
        """Share within `tolerance_mm`, 0-1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """How the metrics of one evaluation are defined.

    Attributes:
        name: what tables call it.
        distances: between two surfaces.
        hd95_mm: of such distances.
        surface_dice: of such distances.
        tolerance_mm: of the surface Dice of a whole region.
        lesion_tolerance_mm: of that of a lesion, from the spacing.
        empty: what empty masks are worth.
        pair_lesions: which prediction belongs to a lesion.
        counts_unpaired: whether the means over lesions include missed and invented ones.
    """

    name: str
    distances: Distances
    hd95_mm: Callable[[SurfaceDistances], float]
    surface_dice: SurfaceDice
    tolerance_mm: float
    lesion_tolerance_mm: Callable[[Sequence[float]], float]
    empty: EmptyMasks
    pair_lesions: PairLesions
    counts_unpaired: bool


def _one_mm(spacing_mm: Sequence[float]) -> float:
    return 1.0


def _shortest_side(spacing_mm: Sequence[float]) -> float:
    return float(min(spacing_mm))


DEFINITIONS: Mapping[str, Definition] = {
    definition.name: definition
    for definition in (
        Definition(
            name="brats2023",
            distances=surface_distances,
            hd95_mm=hausdorff_mm,
            surface_dice=surface_dice,
            tolerance_mm=1.0,
            lesion_tolerance_mm=_one_mm,
            empty=EMPTY_2023,
            pair_lesions=pair_by_surroundings,
            counts_unpaired=True,
        ),
        Definition(
            name="brats2025",
            distances=border_distances,
            hd95_mm=pooled_hausdorff_mm,
            surface_dice=mean_surface_dice,
            tolerance_mm=0.5,
            lesion_tolerance_mm=_shortest_side,
            empty=EMPTY_2025,
            pair_lesions=pair_one_to_one,
            counts_unpaired=False,
        ),
    )
}


def get_definition(name: str) -> Definition:
    """Look a definition up.

    Raises:
        PedsegError: the name is unknown.
    """
    if name not in DEFINITIONS:
        raise PedsegError(f"definition {name!r} of the metrics is unknown; use one of {', '.join(DEFINITIONS)}")
    return DEFINITIONS[name]


def check_rules(name: str, tolerance_mm: float | None) -> None:
    """Check a definition's name and a tolerance of the surface Dice, None for the definition's.

    Raises:
        PedsegError: the name is unknown or the tolerance is no distance.
    """
    get_definition(name)
    if tolerance_mm is not None and not tolerance_mm >= 0:
        raise PedsegError(f"a surface tolerance of {tolerance_mm:g} mm is no distance; give 0 or more")
