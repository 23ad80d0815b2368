"""Modalities, regions, domains and voxel-label conventions. The only file with label numbers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from pedseg.errors import PedsegError


class Modality(StrEnum):
    """MRI sequences, in the order of the network's input channels."""

    T1N = "t1n"
    T1C = "t1c"
    T2W = "t2w"
    T2F = "t2f"


class Region(StrEnum):
    """Overlapping evaluation regions, in the order of the network's output channels."""

    WT = "wt"
    TC = "tc"
    ET = "et"


class Domain(StrEnum):
    """The two sides of the adaptation: labelled source, unlabelled target."""

    SOURCE = "source"
    TARGET = "target"


@dataclass(frozen=True, slots=True)
class LabelConvention:
    """Which voxel label stands for which tissue.

    The first label of each tissue is the one written; all of them are read.

    Attributes:
        name: how settings and messages call it.
        et: labels of enhancing tumour.
        nc: labels of necrotic, non-enhancing and cystic core.
        ed: labels of oedema.
    """

    name: str
    et: tuple[int, ...]
    nc: tuple[int, ...]
    ed: tuple[int, ...]

    def __post_init__(self) -> None:
        used = [*self.et, *self.nc, *self.ed]
        if not (self.et and self.nc and self.ed) or 0 in used or len(set(used)) != len(used):
            raise PedsegError(
                f"label convention {self.name!r} (et {self.et}, nc {self.nc}, ed {self.ed}) must give each tissue at "
                "least one label of its own, none of them 0 (the background)"
            )

    @property
    def values(self) -> frozenset[int]:
        """Every voxel label that may occur, background included."""
        return frozenset({0, *self.et, *self.nc, *self.ed})

    def region_labels(self, region: Region) -> tuple[int, ...]:
        """Voxel labels that make up `region` (WT = ET + NC + ED, TC = ET + NC)."""
        core = (*self.et, *self.nc)
        return {Region.ET: self.et, Region.TC: core, Region.WT: (*core, *self.ed)}[region]


CONVENTIONS: Mapping[str, LabelConvention] = {
    c.name: c
    for c in (
        LabelConvention("brats2021", et=(4,), nc=(1,), ed=(2,)),  # BraTS 2017-2021, UPENN-GBM
        LabelConvention("brats2023", et=(3,), nc=(1,), ed=(2,)),  # BraTS 2023, BraTS-PEDs 2023, MSD-like renumbering
        LabelConvention("brats_ped2024", et=(1,), nc=(2, 3), ed=(4,)),  # BraTS-PEDs 2024 and later: ET, NET, CC, ED
        LabelConvention("msd_task01", et=(3,), nc=(2,), ed=(1,)),  # Medical Segmentation Decathlon, Task01
    )
}


def get_convention(setting: str | Mapping[str, int | Iterable[int]]) -> LabelConvention:
    """Look up a named convention, or build a custom one from ``{"et": 3, "nc": [1], "ed": 2}``.

    Raises:
        PedsegError: the name is unknown or the tissues are not disjoint.
    """
    if isinstance(setting, str):
        if setting not in CONVENTIONS:
            raise PedsegError(f"label convention {setting!r} is unknown; use one of {', '.join(CONVENTIONS)}")
        return CONVENTIONS[setting]
    missing = {"et", "nc", "ed"} - set(setting)
    if missing:
        raise PedsegError(f"custom label convention {dict(setting)} lacks {', '.join(sorted(missing))}")
    values = {k: (v,) if isinstance(v, int) else tuple(v) for k, v in setting.items() if k in {"et", "nc", "ed"}}
    return LabelConvention("custom", **values)


def regions_from_labels(label: NDArray[np.integer], convention: LabelConvention) -> NDArray[np.bool_]:
    """Turn voxel labels (D, H, W) into region masks (3, D, H, W) in the order of `Region`."""
    highest = int(label.max(initial=0))
    table = np.zeros((len(Region), max(highest, *convention.values) + 1), dtype=bool)
    for row, region in enumerate(Region):
        table[row, list(convention.region_labels(region))] = True
    return np.stack([row[label] for row in table])


def labels_from_regions(regions: NDArray[np.bool_], convention: LabelConvention) -> NDArray[np.uint8]:
    """Write region masks (3, D, H, W) as voxel labels (D, H, W), WT first, then TC, then ET on top (nnU-Net's way)."""
    wt, tc, et = regions
    label = np.zeros(wt.shape, dtype=np.uint8)
    for mask, value in ((wt, convention.ed[0]), (tc, convention.nc[0]), (et, convention.et[0])):
        label[mask] = value
    return label
