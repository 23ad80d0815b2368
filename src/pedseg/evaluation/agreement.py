"""What label maps and labels together tell about the voxel labels that they are in, before anything is scored.

One pass counts, for each case, how many voxels hold which label in the prediction and which in the reference. From
these counts follow the labels that occur on either side, and the Dice of a region under any pair of conventions.
Agreement cannot tell which convention is the right one: two wrong ones may agree as well. It can tell that one side is
in other numbers than somebody believes, as two labels in each other's place cost most of the Dice of TC or of ET.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pedseg.cases.label_maps import Known
from pedseg.errors import PedsegError, Problem
from pedseg.evaluation.pairing import Pair
from pedseg.evaluation.scoring import Conventions, problem_of, read_pair
from pedseg.hardware import cores
from pedseg.imaging.label_values import MOST_THREADS, check_values
from pedseg.imaging.nifti import integer_label
from pedseg.labels import CONVENTIONS, LabelConvention, Region, fitting_conventions

FAR = 0.3  # of the mean Dice over cases
JUDGED = (Region.TC, Region.ET)
OPTIONS = ("--prediction-convention", "--convention")  # of the predictions, and of the labels


@dataclass(frozen=True, slots=True)
class Confusion:
    """Voxels of one case, by their labels on both sides.

    Attributes:
        pair: the files.
        voxels: (label in the prediction, label in the reference) → voxels, those without any label left out.
    """

    pair: Pair
    voxels: Mapping[tuple[int, int], int]

    def dice(self, conventions: Conventions, region: Region = Region.TC) -> float:
        """Dice of a region, without what the reference ignores; 1 where both sides are empty, as in BraTS 2023."""
        ours = set(conventions.prediction.region_labels(region))
        theirs = set(conventions.label.region_labels(region))
        judged = {pair: n for pair, n in self.voxels.items() if pair[1] not in conventions.label.ignore}
        both = sum(n for (one, two), n in judged.items() if one in ours and two in theirs)
        sizes = sum(n * ((one in ours) + (two in theirs)) for (one, two), n in judged.items())
        return 2 * both / sizes if sizes else 1.0


@dataclass(frozen=True, slots=True)
class Doubt:
    """Other conventions under which prediction and reference would agree far better.

    Attributes:
        instead: these conventions.
        region: whose Dice it is.
        before: mean Dice under those that were taken.
        after: and under the others.
        most: whether it rises as far in more than half of the cases.
    """

    instead: Conventions
    region: Region
    before: float
    after: float
    most: bool

    def __str__(self) -> str:
        return f"the mean Dice of {self.region.upper()} would rise from {self.before:.3f} to {self.after:.3f}"


def count_labels(pairs: Sequence[Pair]) -> tuple[list[Confusion], list[Problem]]:
    """Count the labels of every pair, in threads; and what is wrong with those that cannot be read or compared."""
    with ThreadPoolExecutor(min(MOST_THREADS, cores())) as pool:
        results = list(pool.map(_count, pairs))
    counted = [result for result in results if isinstance(result, Confusion)]
    return counted, [result for result in results if isinstance(result, Problem)]


def settle(counted: Sequence[Confusion], prediction: Known, label: Known) -> str | None:
    """Check the conventions of both sides against what the cases hold, all of them together.

    Returns:
        A warning, if exchanging two labels of the predictions would raise the mean Dice of TC by `FAR`.

    Raises:
        ProblemsError: a case holds a label that its side's convention lacks.
        PedsegError: nobody stated a side's convention, and under another one that has all labels the mean Dice of TC,
            or of ET, would be higher by `FAR`, and likewise in most cases.
    """
    ours, theirs = values_of(counted)
    outcome = f"none of {len(counted)} cases can be scored"
    check_values(theirs, label, option=OPTIONS[1], what="labels", outcome=outcome)
    check_values(ours, prediction, option=OPTIONS[0], what="predictions", outcome=outcome)
    doubt = doubt_default(counted, prediction, label)
    if doubt and doubt.most:
        raise PedsegError(f"nothing was scored: {_doubted(doubt, prediction, label)}")
    doubt = doubt_exchange(counted, Conventions(prediction.convention, label.convention))
    return _warned(doubt, prediction) if doubt else None


def _doubted(doubt: Doubt, prediction: Known, label: Known) -> str:
    """The doubt, and the two ways to say what is right."""
    instead = (doubt.instead.prediction, doubt.instead.label)
    taken = (prediction.convention, label.convention)
    together = not label.stated and doubt.instead.prediction == doubt.instead.label
    sides = [1] if together else [side for side in (0, 1) if instead[side] != taken[side]]
    whose = "both sides" if together else " and ".join(("the predictions", "the labels")[side] for side in sides)
    ways = [" ".join(f"{OPTIONS[side]} {some[side].option}" for side in sides) for some in (instead, taken)]
    return (
        f"nobody says in which convention {whose} are. Read as {instead[sides[0]]} instead of {taken[sides[0]]}, "
        f"{doubt}. Give {ways[0]} if they are, or {ways[1]} if they are not"
    )


def _warned(doubt: Doubt, prediction: Known) -> str:
    other = doubt.instead.prediction
    named = [convention.name for convention in CONVENTIONS.values() if convention.agrees(other)]
    fix = f"they are in {named[0]} then, so give {OPTIONS[0]} {named[0]}" if named else "then convert them"
    return (
        f"WARNING: {doubt} if two labels of the predictions were exchanged ({other}). They are read as "
        f"{prediction.convention}, {prediction.why}. If that is wrong, {fix}"
    )


def values_of(counted: Sequence[Confusion]) -> tuple[dict[Path, frozenset[int]], dict[Path, frozenset[int]]]:
    """Labels but 0 that occur in each prediction, and in each reference."""
    predictions = {one.pair.prediction: frozenset(value for value, _ in one.voxels) - {0} for one in counted}
    references = {one.pair.label: frozenset(value for _, value in one.voxels) - {0} for one in counted}
    return predictions, references


def doubt_default(counted: Sequence[Confusion], prediction: Known, label: Known) -> Doubt | None:
    """Whether named conventions in place of those that nobody stated would raise the mean Dice of TC or ET far.

    A side that was stated stays as it is. Where neither was, both may be in another one.
    """
    theirs = _named(counted, side=1) if not label.stated else [label.convention]
    ours = _named(counted, side=0) if not prediction.stated else [prediction.convention]
    instead = [Conventions(one, two) for one in ours for two in theirs]
    return _best(counted, Conventions(prediction.convention, label.convention), instead)


def doubt_exchange(counted: Sequence[Confusion], conventions: Conventions) -> Doubt | None:
    """Whether exchanging two labels of the predictions would raise the mean Dice of TC far.

    ET is not asked: exchanging it with NC would seem right wherever a network finds no ET.
    """
    ours = conventions.prediction
    occurring = sorted({value for one in counted for value, _ in one.voxels} - {0})
    others = sorted(ours.values - {0} - set(occurring))
    pairs = [*combinations(occurring, 2), *((one, two) for one in occurring for two in others)]
    instead = [Conventions(ours.exchanged(one, two), conventions.label) for one, two in pairs]
    return _best(counted, conventions, instead, regions=(Region.TC,))


def _named(counted: Sequence[Confusion], *, side: int) -> list[LabelConvention]:
    return fitting_conventions({labels[side] for one in counted for labels in one.voxels})


def _best(
    counted: Sequence[Confusion],
    taken: Conventions,
    others: Sequence[Conventions],
    *,
    regions: Sequence[Region] = JUDGED,
) -> Doubt | None:
    doubts = [doubt for other in others for doubt in _doubts(counted, taken, other)] if counted else []
    asked = [doubt for doubt in doubts if doubt.region in regions]
    return max(asked, key=lambda doubt: doubt.after - doubt.before, default=None)


def _doubts(counted: Sequence[Confusion], taken: Conventions, other: Conventions) -> Iterator[Doubt]:
    """What speaks for other conventions: a far higher Dice of TC; or, against the same labels, of ET at no cost of TC.

    Other conventions of the labels may leave no ET on either side, which would count as agreement.
    """
    before, after = (_dice(counted, conventions) for conventions in (taken, other))
    gain = after - before
    for row, region in enumerate(JUDGED):
        harmless = region is Region.TC or (other.label == taken.label and gain[0].mean() >= 0)
        if harmless and gain[row].mean() >= FAR:
            most = bool(np.mean(gain[row] >= FAR) > 1 / 2)
            yield Doubt(other, region, float(before[row].mean()), float(after[row].mean()), most)


def _dice(counted: Sequence[Confusion], conventions: Conventions) -> NDArray[np.float64]:
    """Dice of TC and ET of each case (2, cases)."""
    return np.array([[one.dice(conventions, region) for one in counted] for region in JUDGED])


def _count(pair: Pair) -> Confusion | Problem:
    try:
        prediction, label = read_pair(pair)
        ours, theirs = integer_label(prediction.data, pair.prediction), integer_label(label.data, pair.label)
    except (PedsegError, MemoryError) as error:
        return problem_of(pair, error)
    tumour = (ours != 0) | (theirs != 0)
    (one, i), (two, j) = (np.unique(labels[tumour], return_inverse=True) for labels in (ours, theirs))
    counts = np.bincount(i * len(two) + j, minlength=len(one) * len(two))
    found = zip(product(one.tolist(), two.tolist()), counts.tolist(), strict=True)
    return Confusion(pair, {labels: n for labels, n in found if n})
