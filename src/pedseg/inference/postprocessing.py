"""Rules that clear up region masks after prediction. None of them looks at a label.

**keep_largest** is nnU-Net's: all but the largest component of a region become background, in every region; of
components that share the largest size all stay. Components are joined by faces, edges and corners (26 neighbours).
Whether it is used, and for which regions, is chosen on labelled source cases, as
`pedseg.evaluation.postprocessing.keep_largest` does.

**peds2023** are the three rules of the winner of BraTS-PEDs 2023, in this order:

1. `low_et_ratio`: ET becomes NC where ET / WT < 0.04 (voxels).
2. `low_ed_ratio`: ED becomes NC where ED / WT < 1.0, that is wherever the tumour holds anything but ED.
3. `small_components`: components of fewer than 130 voxels become background, for each of NC, ED and ET by itself, with
   26 neighbours.

The team describes post-processing by thresholds that cross-validation chose (Capellán-Martín et al. 2024, "Model
Ensemble for Brain Tumor Segmentation in Magnetic Resonance Imaging", arXiv:2409.08232). Order, connectivity, the
thresholds, the strict inequalities and components by tissue instead of by region are those of the code that it
submitted (Precision-Medical-Imaging-Group/BraTS2023-inferCode, ped_runner.py and postproc/postprocess.py). An empty
prediction has no ratio and stays as it is. The thresholds were chosen on children *with labels*: fixed numbers, no
label of this project's target goes into them, but a comparison should say so. They count voxels of BraTS's 1 mm grid
and are not scaled to another.

**core** is the rule TC := WT: every voxel of the tumour is called core. It is no method but the control of all of them,
as few children have oedema (`pedseg.reporting.core_rule`).

All masks are (3, Z, Y, X) in the order WT, TC, ET, and nested as those of a label map are (WT holds TC, TC holds ET);
every rule keeps them so, and returns new ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cc3d
import numpy as np
from numpy.typing import NDArray

from pedseg.labels import LabelConvention, Region, labels_from_regions
from pedseg.metrics.overlap import bounding_box

CONNECTIVITY: Final = 26
LOW_ET_RATIO: Final = 0.04  # this and the two below: ped_runner.py of the winner of BraTS-PEDs 2023
LOW_ED_RATIO: Final = 1.0
SMALL_COMPONENT_VOXELS: Final = 130
_ORDER = tuple(Region)

Masks = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class KeepLargest:
    """`keep_largest` of one region; of WT it is that of the whole foreground."""

    region: Region

    def __call__(self, regions: Masks) -> Masks:
        """Apply the rule to region masks (3, Z, Y, X)."""
        return keep_largest(regions, self.region)

    def __str__(self) -> str:
        return f"largest component of {self.region.upper()}"


@dataclass(frozen=True, slots=True)
class SmallComponents:
    """`small_components` with its limit."""

    fewer_than: int = SMALL_COMPONENT_VOXELS

    def __call__(self, regions: Masks) -> Masks:
        """Apply the rule to region masks (3, Z, Y, X)."""
        return small_components(regions, fewer_than=self.fewer_than)

    def __str__(self) -> str:
        return f"components of NC, ED, ET with fewer than {self.fewer_than} voxels → background"


@dataclass(frozen=True, slots=True)
class LowETRatio:
    """`low_et_ratio` with its limit."""

    below: float = LOW_ET_RATIO

    def __call__(self, regions: Masks) -> Masks:
        """Apply the rule to region masks (3, Z, Y, X)."""
        return low_et_ratio(regions, below=self.below)

    def __str__(self) -> str:
        return f"ET / WT < {self.below} → NC"


@dataclass(frozen=True, slots=True)
class LowEDRatio:
    """`low_ed_ratio` with its limit."""

    below: float = LOW_ED_RATIO

    def __call__(self, regions: Masks) -> Masks:
        """Apply the rule to region masks (3, Z, Y, X)."""
        return low_ed_ratio(regions, below=self.below)

    def __str__(self) -> str:
        return f"ED / WT < {self.below} → NC"


@dataclass(frozen=True, slots=True)
class WholeIsCore:
    """`whole_is_core`."""

    def __call__(self, regions: Masks) -> Masks:
        """Apply the rule to region masks (3, Z, Y, X)."""
        return whole_is_core(regions)

    def __str__(self) -> str:
        return "ED → NC (TC := WT)"


Rule = KeepLargest | SmallComponents | LowETRatio | LowEDRatio | WholeIsCore
RULE_SETS: Final[Mapping[str, tuple[Rule, ...]]] = {
    "peds2023": (LowETRatio(), LowEDRatio(), SmallComponents()),
    "peds2023_et": (LowETRatio(),),
    "peds2023_ed": (LowEDRatio(),),
    "peds2023_components": (SmallComponents(),),
    "core": (WholeIsCore(),),
}


def keep_largest(regions: Masks, which: Region) -> Masks:
    """Make all but the largest component of region `which` background; equally large ones all stay."""
    mask = regions[_ORDER.index(which)]
    box = bounding_box(mask)
    result = regions.copy()
    if box is None:
        return result
    components = _components(mask[box])
    sizes = _sizes(components)
    dropped = sizes < sizes.max()
    dropped[0] = False
    result[:, *box] &= ~dropped[components]
    return result


def small_components(regions: Masks, *, fewer_than: int) -> Masks:
    """Make components of a tissue (NC, ED, ET) background that have fewer voxels than given."""
    box = bounding_box(regions[0])
    result = regions.copy()
    if box is None:
        return result
    tissues = result[:, *box].sum(axis=0, dtype=np.uint8)  # 1 ED, 2 NC, 3 ET, as the masks are nested
    components = _components(tissues)
    dropped = _sizes(components) < fewer_than
    dropped[0] = False
    result[:, *box] &= ~dropped[components]
    return result


def low_et_ratio(regions: Masks, *, below: float) -> Masks:
    """Turn all ET into NC where its share of WT is lower than given: ET is emptied, TC and WT stay."""
    wt, _, et = (int(np.count_nonzero(region)) for region in regions)
    result = regions.copy()
    if wt and et / wt < below:
        result[2] = False
    return result


def low_ed_ratio(regions: Masks, *, below: float) -> Masks:
    """Turn all ED into NC where its share of WT is lower than given: TC becomes WT, ET and WT stay."""
    wt, tc, _ = (int(np.count_nonzero(region)) for region in regions)
    result = regions.copy()
    if wt and (wt - tc) / wt < below:
        result[1] = result[0]
    return result


def whole_is_core(regions: Masks) -> Masks:
    """Turn all ED into NC: TC becomes WT, ET and WT stay."""
    result = regions.copy()
    result[1] = result[0]
    return result


def apply_rules(regions: Masks, rules: Sequence[Rule]) -> Masks:
    """Apply rules to region masks (3, Z, Y, X), one after the other."""
    for rule in rules:
        regions = rule(regions)
    return regions


def relabel(
    label: NDArray[np.integer], before: Masks, after: Masks, convention: LabelConvention
) -> NDArray[np.integer]:
    """Write changed masks into a label map (Z, Y, X); voxels whose regions stay keep their label.

    So a tissue with several labels (cysts and non-enhancing core of BraTS-PEDs 2024) keeps them where nothing changed.
    """
    changed = np.any(before != after, axis=0)
    result = label.copy()
    result[changed] = labels_from_regions(after[:, changed], convention)
    return result


def _components(tissues: NDArray[np.generic]) -> NDArray[np.integer]:
    """Number the components of each value but 0.

    A rim of background goes around, as cc3d fails on some masks that are one voxel thick.
    """
    found: NDArray[np.integer] = cc3d.connected_components(np.pad(tissues, 1), connectivity=CONNECTIVITY)
    return found[1:-1, 1:-1, 1:-1]


def _sizes(components: NDArray[np.integer]) -> NDArray[np.int64]:
    """Voxels of each component; 0 for the background."""
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return sizes.astype(np.int64)
