"""nnU-Net's choice whether predictions keep only their largest components, made on labelled source cases.

nnU-Net (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z) decides by the Dice of its cross-validation, and so does
this module, in the same steps:

1. The largest component of the whole foreground is kept if the mean Dice over regions rises and no region's falls.
2. Then, for WT, TC and ET in turn and on top of what has been adopted, the largest component of the region is kept if
   the Dice of that very region rises.

The Dice of a region is the mean over the cases in which label or prediction hold it; a gain must be strict. Where a
region occurs in no case at all, its Dice is unknown, and so is the mean over regions: neither counts as a rise. Rules
act on the whole prediction, and the Dice leaves out what the label ignores.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, combinations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from pedseg.data.parallel import run_parallel
from pedseg.errors import PedsegError, Problem, ProblemsError
from pedseg.evaluation.pairing import Pair
from pedseg.evaluation.postprocessing.folders import read_checked_label, worthwhile
from pedseg.ignored import judged
from pedseg.inference.postprocessing import KeepLargest, Masks, apply_rules
from pedseg.labels import LabelConvention, Region, masks_from_labels, regions_from_labels
from pedseg.metrics import count_voxels, dice
from pedseg.metrics.overlap import bounding_box
from pedseg.settings.record import Record, RegionName, Sequenced

FOREGROUND = "foreground"
Adopted = tuple[Region, ...]
# What may have been adopted, in the order it is applied. For WT the steps 1 and 2 do the same.
SEQUENCES: tuple[Adopted, ...] = tuple(chain.from_iterable(combinations(Region, n) for n in range(len(Region) + 1)))


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Predicted cases of one labelled source cohort that the networks were not trained on.

    Attributes:
        cohort: its name.
        pairs: label maps and labels.
        convention: voxel labels of both.
    """

    cohort: str
    pairs: Sequence[Pair]
    convention: LabelConvention


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that was tried.

    Attributes:
        tried: "foreground", or a region.
        adopted: whether it is used.
        before: mean Dice of each region without it.
        after: mean Dice of each region with it.
    """

    tried: str
    adopted: bool
    before: Mapping[str, float]
    after: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and on what evidence.

    Attributes:
        rules: to apply in this order; none if no step helped.
        steps: what was tried, in order.
        cases: number of cases by cohort.
    """

    rules: tuple[KeepLargest, ...]
    steps: tuple[Step, ...]
    cases: Mapping[str, int]

    def record(self) -> dict[str, Any]:
        """The choice as JSON; an unknown Dice is null."""
        steps = [asdict(step) for step in self.steps]
        for step in steps:
            for when in ("before", "after"):
                step[when] = {region: None if math.isnan(value) else value for region, value in step[when].items()}
        return {"keep_largest": [str(rule.region) for rule in self.rules], "cases": dict(self.cases), "steps": steps}


class ChoiceRecord(Record):
    """What a record of a `Choice` says."""

    keep_largest: Annotated[tuple[RegionName, ...], Sequenced]
    on_evaluated_cases: bool = False


def choose(held_out: Sequence[HeldOut], *, target: Sequence[str], workers: int) -> Choice:
    """Choose on the cases of source cohorts, pooled.

    Args:
        held_out: cases of each cohort.
        target: cohorts whose labels must not be used.
        workers: most processes; few cases get fewer.

    Raises:
        PedsegError: there is no case, or a cohort is a target of the adaptation. No file has been read then.
        ProblemsError: label maps or labels cannot be read.
    """
    for cohort in sorted({one.cohort for one in held_out} & set(target)):
        raise PedsegError(
            f"cohort {cohort!r} is a target of the adaptation: its labels may not choose the post-processing; give "
            "source cases"
        )
    jobs = [(pair, one.convention) for one in held_out for pair in one.pairs]
    if not jobs:
        raise PedsegError("there is no held-out source case to choose the post-processing on")
    processes = worthwhile(workers, len(jobs))
    results = list(run_parallel(_measure, jobs, workers=processes, description="choosing"))
    problems = [result for result in results if isinstance(result, Problem)]
    if problems:
        raise ProblemsError(f"{len(problems)} of {len(jobs)} source cases cannot be used:", problems)
    values = np.stack([result for result in results if not isinstance(result, Problem)])
    rules, steps = decide({sequence: values[:, i] for i, sequence in enumerate(SEQUENCES)})
    return Choice(rules, steps, {one.cohort: len(one.pairs) for one in held_out})


def decide(
    scores: Mapping[Adopted, NDArray[np.float64]],
) -> tuple[tuple[KeepLargest, ...], tuple[Step, ...]]:
    """Make the decision.

    Args:
        scores: for each of `SEQUENCES` the Dice (cases, 3) after these rules; NaN where label and prediction are empty.

    Returns:
        The rules to apply, and what was tried.
    """
    mean = {sequence: _mean_over_cases(values) for sequence, values in scores.items()}
    record = partial(zip, tuple(map(str, Region)), strict=True)
    before, after = mean[()], mean[(Region.WT,)]
    better = bool(after.mean() > before.mean()) and not bool(np.any(after < before))
    adopted: Adopted = (Region.WT,) if better else ()
    steps = [Step(FOREGROUND, better, dict(record(before.tolist())), dict(record(after.tolist())))]
    for index, region in enumerate(Region):
        candidate = adopted if region in adopted else (*adopted, region)
        before, after = mean[adopted], mean[candidate]
        better = bool(after[index] > before[index])
        steps.append(Step(region, better, dict(record(before.tolist())), dict(record(after.tolist()))))
        adopted = candidate if better else adopted
    return tuple(map(KeepLargest, adopted)), tuple(steps)


def read_choice(path: Path) -> tuple[KeepLargest, ...]:
    """Read the rules out of a record of `Choice`.

    Raises:
        PedsegError: the file is absent or is none.
    """
    said = ChoiceRecord.read(path, fix="give the postprocessing.json beside the folds of a run")
    return tuple(KeepLargest(Region(name)) for name in said.keep_largest)


def _mean_over_cases(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean Dice of each region (3,) over the cases where it is known; NaN where it never is."""
    means = [column[~np.isnan(column)] for column in values.T]
    return np.array([column.mean() if len(column) else math.nan for column in means])


def _measure(job: tuple[Pair, LabelConvention]) -> NDArray[np.float64] | Problem:
    """Dice (8, 3) of a case after each of `SEQUENCES`, or what is wrong with it."""
    pair, convention = job
    try:
        prediction, label = _masks(pair, convention)
    except PedsegError as error:
        return Problem(pair.case, pair.prediction.name, str(error), "mend the file and run the command again")
    after = (apply_rules(prediction, [KeepLargest(region) for region in sequence]) for sequence in SEQUENCES)
    sides = [judged(masks, label)[:2] for masks in after]
    return np.array([[dice(count_voxels(p, g)) for p, g in zip(*masks, strict=True)] for masks in sides])


def _masks(pair: Pair, convention: LabelConvention) -> tuple[Masks, Masks]:
    """Regions of the prediction, and masks of the label with its ignored voxels, in the box around both."""
    prediction, label = (read_checked_label(path, convention) for path in (pair.prediction, pair.label))
    if prediction.shape != label.shape:
        raise PedsegError(f"{pair.prediction}: has another shape than {pair.label}; predict the case again")
    box = bounding_box((prediction != 0) | (label != 0)) or (slice(0, 0),) * label.ndim
    return regions_from_labels(prediction[box], convention), masks_from_labels(label[box], convention)
