"""Modalities, regions, domains and voxel-label conventions. The only file with label numbers."""

import difflib
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
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


TISSUES = ("et", "nc", "ed")
MEANINGS = (*TISSUES, "background", "ignore")  # what a voxel label may stand for
_SHOWN = {key: key.upper() if key in TISSUES else key for key in MEANINGS}


@dataclass(frozen=True, slots=True)
class LabelConvention:
    """Which voxel label stands for which tissue.

    The first label of each tissue is the one written; all of them are read.

    Attributes:
        name: how settings and messages call it.
        et: labels of enhancing tumour.
        nc: labels of necrotic, non-enhancing and cystic core.
        ed: labels of oedema.
        background: further labels of what is no tumour, as 0 is, such as a resection cavity; never written.
        ignore: labels of voxels of which nobody says what they are: no loss and no score counts them; never predicted.
    """

    name: str
    et: tuple[int, ...]
    nc: tuple[int, ...]
    ed: tuple[int, ...]
    background: tuple[int, ...] = ()
    ignore: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        used = [value for values in self.by_meaning.values() for value in values]
        in_range = all(0 < value <= np.iinfo(np.uint8).max for value in used)
        if not (self.et and self.nc and self.ed and in_range) or len(set(used)) != len(used):
            raise PedsegError(
                f"label convention {self} must give each tissue at least one label of its own, from 1 to 255 (0 is "
                "the background)"
            )

    def __str__(self) -> str:
        shown = (
            f"{_SHOWN[key]} {_plus(values)}" for key, values in self.by_meaning.items() if values or key in TISSUES
        )
        return f"{self.name} ({', '.join(shown)})"

    @property
    def by_meaning(self) -> dict[str, tuple[int, ...]]:
        """Labels of each of `MEANINGS`."""
        return dict(zip(MEANINGS, (self.et, self.nc, self.ed, self.background, self.ignore), strict=True))

    @property
    def option(self) -> str:
        """How a command line says it, see `read_convention`."""
        return self.name if CONVENTIONS.get(self.name) == self else f"'{self}'"

    @property
    def values(self) -> frozenset[int]:
        """Every voxel label that may occur, background included."""
        return frozenset({0}).union(*self.by_meaning.values())

    def agrees(self, other: "LabelConvention") -> bool:
        """Whether every voxel label means the same in both, whatever they are called."""
        pairs = zip(self.by_meaning.values(), other.by_meaning.values(), strict=True)
        return all(set(one) == set(two) for one, two in pairs)

    def exchanged(self, one: int, two: int) -> "LabelConvention":
        """The convention with two voxel labels in each other's place."""
        turned = {one: two, two: one}
        labels = {key: tuple(turned.get(v, v) for v in values) for key, values in self.by_meaning.items()}
        return LabelConvention(f"{self.name} with {one} and {two} exchanged", **labels)

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
        # BraTS-GLI 2024 and 2025, after treatment: NETC, SNFH, ET, and the resection cavity, which WT does not hold (de
        # Verdier et al. 2024, arXiv:2405.18368)
        LabelConvention("brats_gli2024", et=(3,), nc=(1,), ed=(2,), background=(4,)),
    )
}
DEFAULT_CONVENTION = "brats2023"
_WRITTEN = re.compile(r"(.+) \(((?:\w+ \d+(?:\+\d+)*)(?:, \w+ \d+(?:\+\d+)*)*)\)")
_GIVEN = re.compile(r"\{.*\}")
_KEY = re.compile(r"(\w+)\s*:\s*(\d+|\[[\d,\s]*\])\s*")


def get_convention(setting: str | Mapping[str, int | Iterable[int]]) -> LabelConvention:
    """Look up a named convention, or build a custom one from ``{"et": 3, "nc": [1], "ed": 2, "ignore": 4}``.

    Raises:
        PedsegError: the name is unknown; or a tissue is missing, a key unknown, or two have a label in common.
    """
    if isinstance(setting, str):
        if setting not in CONVENTIONS:
            use = f"use one of {', '.join(CONVENTIONS)}"
            raise PedsegError(f"label convention {setting!r} is unknown; {_near(setting, CONVENTIONS)}{use}")
        return CONVENTIONS[setting]
    for key in setting:
        if key not in MEANINGS:
            raise PedsegError(
                f"custom label convention {dict(setting)}: {key!r} is unknown; {_near(key, MEANINGS)}give labels of "
                f"{', '.join(TISSUES)}, of what is no tumour as background, and of what shall not count as ignore"
            )
    missing = set(TISSUES) - set(setting)
    if missing:
        raise PedsegError(f"custom label convention {dict(setting)} lacks {', '.join(sorted(missing))}")
    return LabelConvention("custom", **{k: (v,) if isinstance(v, int) else tuple(v) for k, v in setting.items()})


def _near(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name.lower(), known, n=1)
    return f"did you mean {found[0]}? Or " if found else ""


def read_convention(text: str) -> LabelConvention:
    """Read a name, what ``str(convention)`` wrote, or labels as settings have them: ``{et: 3, nc: [1], ed: 2}``.

    Raises:
        PedsegError: it is none of these.
    """
    if _GIVEN.fullmatch(text):
        return get_convention(_labels_given(text))
    match = _WRITTEN.fullmatch(text)
    if match is None:
        return get_convention(text)
    parts = dict(part.lower().split(" ") for part in match[2].split(", "))
    labels = {key: [int(value) for value in values.split("+")] for key, values in parts.items()}
    return replace(get_convention(labels), name=match[1])


def _labels_given(text: str) -> dict[str, list[int]]:
    found = {key: [int(value) for value in re.findall(r"\d+", values)] for key, values in _KEY.findall(text)}
    if re.sub(r"[\s,{}]", "", _KEY.sub("", text)):
        raise PedsegError(f"label convention {text} cannot be read; give it as in {{et: 3, nc: [1], ed: 2, ignore: 4}}")
    return found


def fitting_conventions(values: Iterable[int]) -> list[LabelConvention]:
    """The named conventions that have all these voxel labels, but for those that others are a plainer form of.

    One that gives further labels no tissue reads the same as another one where none of these labels occurs.
    """
    found = frozenset(values)
    return [c for c in CONVENTIONS.values() if found <= c.values and _needed(c, found)]


def _needed(convention: LabelConvention, values: frozenset[int]) -> bool:
    return not convention.background or not values.isdisjoint(convention.background)


def regions_from_labels(label: NDArray[np.integer], convention: LabelConvention) -> NDArray[np.bool_]:
    """Turn voxel labels (D, H, W) into region masks (3, D, H, W) in the order of `Region`.

    Labels of `background` and of `ignore` are in none of them.
    """
    highest = int(label.max(initial=0))
    table = np.zeros((len(Region), max(highest, *convention.values) + 1), dtype=bool)
    for row, region in enumerate(Region):
        table[row, list(convention.region_labels(region))] = True
    return np.stack([row[label] for row in table])


def masks_from_labels(label: NDArray[np.integer], convention: LabelConvention) -> NDArray[np.bool_]:
    """Region masks of a label, and after them, where it has such voxels, the mask of ignored ones: (3 or 4, D, H, W).

    `pedseg.ignored` reads it.
    """
    regions = regions_from_labels(label, convention)
    ignored = np.isin(label, convention.ignore)
    return np.concatenate([regions, ignored[None]]) if ignored.any() else regions


def labels_from_regions(regions: NDArray[np.bool_], convention: LabelConvention) -> NDArray[np.uint8]:
    """Write region masks (3, D, H, W) as voxel labels (D, H, W), WT first, then TC, then ET on top (nnU-Net's way)."""
    wt, tc, et = regions
    label = np.zeros(wt.shape, dtype=np.uint8)
    for mask, value in ((wt, convention.ed[0]), (tc, convention.nc[0]), (et, convention.et[0])):
        label[mask] = value
    return label


EXPECTED = (
    "Regions here are WT (ET + NC + ED), TC (ET + NC) and ET: labels of further tissues join one of the three, as in "
    "{et: 1, nc: [2, 3], ed: 4}, are background, as in {et: 3, nc: 1, ed: 2, background: 4}, or are ignored, as in "
    "{et: 3, nc: 1, ed: 2, ignore: 4}; and a cohort whose labels do not tell the three apart can be a target, with "
    "labelled=false."
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

    A convention is possible if it has every label that occurs; one that gives some of them no tissue only if its
    enhancing tumour enhances most. Of several possible ones, that one is chosen whose enhancing tumour enhances more
    than every other label by a clear margin, if that leaves no other in the race.
    BraTS 2023 and MSD differ only in which of 1 and 2 is oedema, so labels 1, 2, 3 with ET 3 are always refused.

    Raises:
        PedsegError: no convention or more than one fits; the message holds the evidence.
    """
    fitting = fitting_conventions(evidence.values)
    possible = [c for c in fitting if not c.background or _lead(evidence, c) > 0]
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
    """By how many z-scores the enhancing tumour leads all other labels; 0 where one of the two does not occur.

    Ignored labels may stand for anything, so that they are not asked.
    """
    asked = {value: mean for value, mean in evidence.enhancement.items() if value not in convention.ignore}
    known = {value: mean for value, mean in asked.items() if math.isfinite(mean)}
    tumour = [mean for value, mean in known.items() if value in convention.et]
    others = [mean for value, mean in known.items() if value not in convention.et]
    return max(tumour) - max(others) if tumour and others else 0.0


def _refusal(evidence: LabelEvidence, what: str) -> PedsegError:
    fitting = [c for c in fitting_conventions(evidence.values) if _lead(evidence, c) > -_CONTRADICTION]
    names = ", ".join(map(str, fitting)) or f"none of {', '.join(CONVENTIONS)}"
    example = fitting[0].name if fitting else "{et: 3, nc: [1], ed: [2]}"
    return PedsegError(
        f"cohort {evidence.cohort!r}: {what}\n{evidence}\n  conventions that fit: {names}\n{EXPECTED}\nSee the "
        f"description of the data, then set the cohort's convention, for example "
        f"data.cohorts.{evidence.cohort}.convention={example}"
    )


def _plus(values: Iterable[int]) -> str:
    return "+".join(str(value) for value in sorted(values)) or "none"
