"""How much of the gap between an adult-only model and one with labelled children each model closes.

``gap closed = (method − 1*) / (3* − 1*)`` of mean Dice; intervals are those of `pedseg.gap.bootstrap`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pedseg.gap.benchmark import Benchmark
from pedseg.gap.bootstrap import (
    MOST_WITHOUT_GAP,
    Draw,
    Estimate,
    Floats,
    estimate_closed,
    estimate_difference,
    estimate_mean,
    mean,
    without_gap,
)
from pedseg.gap.roles import Entry, Role
from pedseg.reporting.paper import REGIONS
from pedseg.reporting.rows import pick
from pedseg.reporting.strata import WITH, WITHOUT
from pedseg.reporting.training_log import last_source_dice, training_minutes

RESAMPLES = 2000
MEAN = "mean"  # of the regions
GAP_OF = ("tc", WITH, WITHOUT, MEAN)  # TC of all cases and of those with and without oedema
NEEDED_GAP = 0.9  # the goal: share of the gap in TC that is closed, of all cases and in both strata,
PART_NAMES = {
    "tc": "TC",
    WITH: f"TC {WITH}",
    WITHOUT: f"TC {WITHOUT}",
    MEAN: "the mean of the regions",
}
MOST_LOST = 0.01  # with no more Dice of WT lost


@dataclass(frozen=True, slots=True)
class Row:
    """Numbers of one model.

    Attributes:
        entry: the model.
        dice: mean by region, of the regions (`MEAN`), and of TC in the cases with and without oedema.
        hd95_mm: the same.
        gap: share closed, for `GAP_OF`.
        wt_lost: Dice of WT of 1* minus its own.
        source_dice: of the last validation on patches of the labelled cohorts, mean over runs.
        minutes: that the training steps of a run took, mean over runs.
    """

    entry: Entry
    dice: Mapping[str, Estimate]
    hd95_mm: Mapping[str, Estimate]
    gap: Mapping[str, Estimate]
    wt_lost: Estimate
    source_dice: float
    minutes: float

    @property
    def competes(self) -> bool:
        """Whether it is neither a bound nor trained on labels of the target."""
        return self.entry.role in (Role.CONTROL, Role.METHOD)

    @property
    def reaches_goal(self) -> bool:
        """Whether at least 90 % of the gap in TC is closed with at most 0.01 Dice of WT lost.

        Of all cases, and of those with and without oedema where there is a gap.
        """
        strata = [self.gap[name].value for name in (WITH, WITHOUT) if math.isfinite(self.gap[name].value)]
        return min([self.gap["tc"].value, *strata]) >= NEEDED_GAP and self.wt_lost.value <= MOST_LOST


def make_rows(benchmark: Benchmark, *, resamples: int = RESAMPLES, seed: int = 0) -> list[Row]:
    """Compute a row for every entry.

    Args:
        benchmark: with 1* and 3*.
        resamples: of the bootstrap.
        seed: of the bootstrap; rows with as many seeds share the resamples.
    """
    draws = Draws(resamples, seed)
    return [_row(entry, benchmark, draws) for entry in benchmark.entries]


def gap_notes(benchmark: Benchmark, *, resamples: int = RESAMPLES, seed: int = 0) -> list[str]:
    """Say where the gap is not positive, or not surely so."""
    seeds, draws = shared_seeds(benchmark.lower, benchmark.upper), Draws(resamples, seed)
    if not seeds:
        return ["1* and 3* have no seed in common, so that there is no gap."]
    notes = []
    for name, (region, cases) in parts_of(benchmark).items():
        lower, upper = (scores(entry, seeds, cases)[region] for entry in (benchmark.lower, benchmark.upper))
        gap, share = mean(upper) - mean(lower), without_gap(lower, upper, draws(len(seeds), len(cases)))
        if not gap > 0:
            notes.append(f"There is no gap to close in {PART_NAMES[name]}: 3* − 1* is {gap:+.3f} Dice.")
        elif share > MOST_WITHOUT_GAP:
            notes.append(
                f"The gap in {PART_NAMES[name]}, {gap:+.3f} Dice, is not positive in {100 * share:.0f} % of the "
                "resamples; the share that a model closes of it has no interval."
            )
    return notes


def parts_of(benchmark: Benchmark) -> dict[str, tuple[str, Sequence[str]]]:
    """Region and cases of each gap; not of a stratum without a case."""
    parts = {name: ("tc", cases) for name, cases in benchmark.strata.items() if cases}
    return {"tc": ("tc", benchmark.cases), **parts, MEAN: (MEAN, benchmark.cases)}


class Draws:
    """Resamples for any numbers of seeds and cases; the same numbers share theirs.

    Args:
        resamples: how many.
        seed: of the bootstrap.
    """

    def __init__(self, resamples: int, seed: int) -> None:
        self.resamples, self.seed = resamples, seed
        self._made: dict[tuple[int, int], Draw] = {}

    def __call__(self, seeds: int, cases: int) -> Draw:
        """Resamples of so many seeds and cases."""
        if (seeds, cases) not in self._made:
            self._made[seeds, cases] = Draw.make(seeds, cases, resamples=self.resamples, seed=self.seed)
        return self._made[seeds, cases]


def best_row(rows: Sequence[Row], region: str = "tc") -> Row | None:
    """The row that closes most of the gap among those that compete; None if none has a share."""
    known = [row for row in rows if row.competes and math.isfinite(row.gap[region].value)]
    return max(known, key=lambda row: row.gap[region].value, default=None)


def scores(entry: Entry, seeds: Sequence[int], cases: Sequence[str], *, metric: str = "dice") -> dict[str, Floats]:
    """Scores (seeds, cases) of each region, and all three as (regions, seeds, cases) under `MEAN`."""
    values = {
        region: np.stack(
            [
                pick(entry.models[seed].scores, metric, region).reindex(list(cases)).to_numpy(dtype=np.float64)
                for seed in seeds
            ]
        )
        for region in REGIONS
    }
    return {**values, MEAN: np.stack(list(values.values()))}


def _row(entry: Entry, benchmark: Benchmark, draws: Draws) -> Row:
    seeds = list(entry.models)
    runs = [run for model in entry.models.values() for run in model.runs]

    def means(metric: str, cases: Sequence[str]) -> dict[str, Estimate]:
        found = scores(entry, seeds, cases, metric=metric)
        return {region: estimate_mean(values, draws(len(seeds), len(cases))) for region, values in found.items()}

    strata = {
        name: means("dice", cases)["tc"] if cases else Estimate(math.nan)
        for name in (WITH, WITHOUT)
        for cases in [benchmark.strata.get(name, ())]
    }
    return Row(
        entry=entry,
        dice=means("dice", benchmark.cases) | strata,
        hd95_mm=means("hd95_mm", benchmark.cases),
        gap=_closed(entry, benchmark, draws),
        wt_lost=_lost(entry, benchmark, draws),
        source_dice=_mean([last_source_dice(run) for run in runs]),
        minutes=_mean([training_minutes(run) for run in runs]),
    )


def _closed(entry: Entry, benchmark: Benchmark, draws: Draws) -> dict[str, Estimate]:
    """Share of each gap, over the seeds that the model and both bounds have."""
    seeds = shared_seeds(entry, benchmark.lower, benchmark.upper)
    closed = dict.fromkeys(GAP_OF, Estimate(math.nan))
    for name, (region, cases) in parts_of(benchmark).items() if seeds else ():
        own, lower, upper = (scores(e, seeds, cases)[region] for e in (entry, benchmark.lower, benchmark.upper))
        closed[name] = estimate_closed(own, lower, upper, draws(len(seeds), len(cases)))
    return closed


def _lost(entry: Entry, benchmark: Benchmark, draws: Draws) -> Estimate:
    seeds = shared_seeds(entry, benchmark.lower)
    if not seeds:
        return Estimate(math.nan)
    lower, own = (scores(e, seeds, benchmark.cases)["wt"] for e in (benchmark.lower, entry))
    return estimate_difference(lower, own, draws(len(seeds), len(benchmark.cases)))


def shared_seeds(*entries: Entry) -> list[int]:
    """Seeds that all of the entries have."""
    return [seed for seed in entries[0].models if all(seed in entry.models for entry in entries)]


def _mean(values: Sequence[float]) -> float:
    """Mean of what is known."""
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan
