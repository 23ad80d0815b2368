"""Modalities, regions, domains and voxel-label conventions. The only file with label numbers."""

import math
import re
from collections import Counter
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
        in_range = all(0 < value <= np.iinfo(np.uint8).max for value in used)
        if not (self.et and self.nc and self.ed and in_range) or len(set(used)) != len(used):
            raise PedsegError(
                f"label convention {self} must give each tissue at least one label of its own, from 1 to 255 (0 is "
                "the background)"
            )

    def __str__(self) -> str:
        tissues = (("ET", self.et), ("NC", self.nc), ("ED", self.ed))
        return f"{self.name} ({', '.join(f'{name} {_plus(values)}' for name, values in tissues)})"

    @property
    def values(self) -> frozenset[int]:
        """Every voxel label that may occur, background included."""
        return frozenset({0, *self.et, *self.nc, *self.ed})

    def agrees(self, other: "LabelConvention") -> bool:
        """Whether every voxel label is the same tissue in both, whatever they are called."""
        return all(set(one) == set(two) for one, two in zip(self._tissues, other._tissues, strict=True))

    def exchanged(self, one: int, two: int) -> "LabelConvention":
        """The convention with two voxel labels in each other's place."""
        turned = {one: two, two: one}
        et, nc, ed = (tuple(turned.get(value, value) for value in values) for values in self._tissues)
        return LabelConvention(f"{self.name} with {one} and {two} exchanged", et, nc, ed)

    @property
    def _tissues(self) -> tuple[tuple[int, ...], ...]:
        return self.et, self.nc, self.ed

    def region_labels(self, region: Region) -> tuple[int, ...]:
        """Voxel labels that make up `region` (WT = ET + NC + ED, TC = ET + NC)."""
        core = (*self.et, *self.nc)
        return {Region.ET: self.et, Region.TC: core, Region.WT: (*core, *self.ed)}[region]


CONVENTIONS: Mapping[str, LabelConvention] = {
    c.name: c
    for c in (
        LabelConvention("brats2021", et=(4,), nc=(1,), ed=(2,)),  # BraTS 2017-2021, UPENN-GBM
        LabelConvention("brats2023", et=(3,), nc=(1,), ed=(2,)),  # BraTS 2023, BraTS-PEDs 2023
        LabelConvention("brats_ped2024", et=(1,), nc=(2, 3), ed=(4,)),  # BraTS-PEDs 2024 and later: ET, NET, CC, ED
        LabelConvention("msd_task01", et=(3,), nc=(2,), ed=(1,)),  # Medical Segmentation Decathlon, Task01
    )
}
DEFAULT_CONVENTION = "brats2023"
_WRITTEN = re.compile(r"(?P<name>.+) \(ET (?P<et>[\d+]+), NC (?P<nc>[\d+]+), ED (?P<ed>[\d+]+)\)")


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


def read_convention(text: str) -> LabelConvention:
    """Read what ``str(convention)`` wrote, or a name.

    Raises:
        PedsegError: it is neither.
    """
    match = _WRITTEN.fullmatch(text)
    if match is None:
        return get_convention(text)
    name, *tissues = match.group("name", "et", "nc", "ed")
    et, nc, ed = (tuple(int(value) for value in tissue.split("+")) for tissue in tissues)
    return LabelConvention(name, et, nc, ed)


def fitting_conventions(values: Iterable[int]) -> list[LabelConvention]:
    """The named conventions that have all these voxel labels."""
    return [convention for convention in CONVENTIONS.values() if set(values) <= convention.values]


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


EXPECTED = (
    "Regions here are WT (ET + NC + ED), TC (ET + NC) and ET: labels of further tissues join one of the three, as in "
    "{et: 1, nc: [2, 3], ed: 4}, and a cohort whose labels do not tell them apart can be a target, with labelled=false."
)
_CLEAR = 0.5  # z-scores by which the enhancing tumour must lead for a convention to be chosen
_CONTRADICTION = 1.0  # z-scores by which another tissue must lead for a convention to be refused; adults differ by 2


@dataclass(frozen=True, slots=True)
class CaseEvidence:
    """What one case tells: by voxel label but 0 its number of voxels and mean of (t1c - t1n) in z-scores."""

    voxels: Mapping[int, int]
    enhancement: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class LabelEvidence:
    """What the labels of a cohort tell about their convention.

    Attributes:
        cohort: name of the cohort.
        value_sets: number of cases for each set of voxel labels that occurred together, background left out.
        voxels: number of voxels of each voxel label over all cases.
        enhancement: of each voxel label the mean, over the cases that hold it, of (t1c - t1n) in z-scores inside it.
            Enhancing tumour has about +1.6 in adults, oedema and necrosis about -0.4.
    """

    cohort: str
    value_sets: Mapping[frozenset[int], int]
    voxels: Mapping[int, int]
    enhancement: Mapping[int, float]

    @property
    def values(self) -> frozenset[int]:
        """Voxel labels that occur, background left out."""
        return frozenset().union(*self.value_sets) - {0}

    def __str__(self) -> str:
        total = sum(self.value_sets.values())
        rows = [f"  {total} cases; " + "; ".join(f"labels {_plus(s)} in {n}" for s, n in self.value_sets.items())]
        for value in sorted(self.values):
            cases = sum(n for values, n in self.value_sets.items() if value in values)
            mean = self.enhancement.get(value, math.nan)
            rows.append(f"  label {value}: {self.voxels[value]} voxels in {cases} cases, enhancement {mean:+.2f}")
        return "\n".join(rows)


def measure_labels(label: NDArray[np.integer], enhancement: NDArray[np.floating]) -> CaseEvidence:
    """Measure one case: `label` (D, H, W) and t1c - t1n in z-scores on the same grid."""
    tumour = label != 0
    values, index, counts = np.unique(label[tumour], return_inverse=True, return_counts=True)
    sums = np.bincount(index, weights=enhancement[tumour], minlength=len(values))
    found = [int(value) for value in values]
    return CaseEvidence(
        voxels=dict(zip(found, counts.tolist(), strict=True)),
        enhancement=dict(zip(found, (sums / counts).tolist(), strict=True)),
    )


def gather_evidence(cohort: str, cases: Iterable[CaseEvidence]) -> LabelEvidence:
    """Put the cases of a cohort together; every case weighs the same in the mean enhancement."""
    value_sets: Counter[frozenset[int]] = Counter()
    voxels: Counter[int] = Counter()
    enhancement: dict[int, list[float]] = {}
    for case in cases:
        value_sets[frozenset(case.voxels)] += 1
        voxels.update(case.voxels)
        for value, mean in case.enhancement.items():
            enhancement.setdefault(value, []).append(mean)
    means = {value: float(np.mean(found)) for value, found in sorted(enhancement.items())}
    return LabelEvidence(cohort, dict(value_sets.most_common()), dict(sorted(voxels.items())), means)


def detect_convention(evidence: LabelEvidence) -> LabelConvention:
    """Tell the convention of a cohort from its labels, or refuse.

    A convention is possible if it has every label that occurs. Of several possible ones, that one is chosen whose
    enhancing tumour enhances more than every other label by a clear margin, if that leaves no other in the race.
    BraTS 2023 and MSD differ only in which of 1 and 2 is oedema, so labels 1, 2, 3 with ET 3 are always refused.

    Raises:
        PedsegError: no convention or more than one fits; the message holds the evidence.
    """
    possible = [c for c in CONVENTIONS.values() if evidence.values <= c.values]
    rivals = possible if len(possible) == 1 else [c for c in possible if _lead(evidence, c) > -_CLEAR]
    if len(rivals) == 1 and (len(possible) == 1 or _lead(evidence, rivals[0]) >= _CLEAR):
        check_convention(evidence, rivals[0])
        return rivals[0]
    raise _refusal(evidence, "the label convention cannot be told from the labels")


def check_convention(evidence: LabelEvidence, convention: LabelConvention) -> None:
    """Refuse a convention that the labels of the cohort speak against.

    Raises:
        PedsegError: a label occurs that `convention` lacks, or another label than its enhancing tumour enhances far
            more; the message holds the evidence.
    """
    foreign = evidence.values - convention.values
    if foreign:
        raise _refusal(evidence, f"label {_plus(foreign)} occurs, which the convention {convention} lacks")
    if _lead(evidence, convention) < -_CONTRADICTION:
        raise _refusal(
            evidence, f"the convention {convention} is contradicted: another label than its ET enhances most"
        )


def _lead(evidence: LabelEvidence, convention: LabelConvention) -> float:
    """By how many z-scores the enhancing tumour leads all other labels; 0 where one of the two does not occur."""
    known = {value: mean for value, mean in evidence.enhancement.items() if math.isfinite(mean)}
    tumour = [mean for value, mean in known.items() if value in convention.et]
    others = [mean for value, mean in known.items() if value not in convention.et]
    return max(tumour) - max(others) if tumour and others else 0.0


def _refusal(evidence: LabelEvidence, what: str) -> PedsegError:
    fitting = [c for c in CONVENTIONS.values() if evidence.values <= c.values and _lead(evidence, c) > -_CONTRADICTION]
    names = ", ".join(map(str, fitting)) or f"none of {', '.join(CONVENTIONS)}"
    example = fitting[0].name if fitting else "{et: 3, nc: [1], ed: [2]}"
    return PedsegError(
        f"cohort {evidence.cohort!r}: {what}\n{evidence}\n  conventions that fit: {names}\n{EXPECTED}\nSee the "
        f"description of the data, then set the cohort's convention, for example "
        f"data.cohorts.{evidence.cohort}.convention={example}"
    )


def _plus(values: Iterable[int]) -> str:
    return "+".join(str(value) for value in sorted(values)) or "none"
