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
from pedseg.reporting.training_log import last_source_dice, training_minutes

RESAMPLES = 2000
MEAN = "mean"  # of the regions
GAP_OF = ("tc", MEAN)
NEEDED_GAP = 0.9  # the goal: share of the gap in TC that is closed,
MOST_LOST = 0.01  # with no more Dice of WT lost


@dataclass(frozen=True, slots=True)
class Row:
    """Numbers of one model.

    Attributes:
        entry: the model.
        dice: mean by region, and of the regions (`MEAN`).
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
        """Whether at least 90 % of the gap in TC is closed with at most 0.01 Dice of WT lost."""
        return self.gap["tc"].value >= NEEDED_GAP and self.wt_lost.value <= MOST_LOST


def make_rows(benchmark: Benchmark, *, resamples: int = RESAMPLES, seed: int = 0) -> list[Row]:
    """Compute a row for every entry.

    Args:
        benchmark: with 1* and 3*.
        resamples: of the bootstrap.
        seed: of the bootstrap; rows with as many seeds share the resamples.
    """
    draws = {n: Draw.make(n, len(benchmark.cases), resamples=resamples, seed=seed) for n in _numbers(benchmark)}
    return [_row(entry, benchmark, draws) for entry in benchmark.entries]


def gap_notes(benchmark: Benchmark, *, resamples: int = RESAMPLES, seed: int = 0) -> list[str]:
    """Say where the gap is not positive, or not surely so."""
    seeds = _shared(benchmark.lower, benchmark.upper)
    if not seeds:
        return ["1* and 3* have no seed in common, so that there is no gap."]
    draw = Draw.make(len(seeds), len(benchmark.cases), resamples=resamples, seed=seed)
    lower, upper = (scores(entry, seeds, benchmark.cases) for entry in (benchmark.lower, benchmark.upper))
    notes = []
    for region in GAP_OF:
        name = "the mean of the regions" if region == MEAN else region.upper()
        gap, share = mean(upper[region]) - mean(lower[region]), without_gap(lower[region], upper[region], draw)
        if not gap > 0:
            notes.append(f"There is no gap to close in {name}: 3* − 1* is {gap:+.3f} Dice.")
        elif share > MOST_WITHOUT_GAP:
            notes.append(
                f"The gap in {name}, {gap:+.3f} Dice, is not positive in {100 * share:.0f} % of the resamples; the "
                "share that a model closes of it has no interval."
            )
    return notes


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


def _row(entry: Entry, benchmark: Benchmark, draws: Mapping[int, Draw]) -> Row:
    cases, seeds = benchmark.cases, list(entry.models)
    runs = [run for model in entry.models.values() for run in model.runs]

    def means(metric: str) -> dict[str, Estimate]:
        found = scores(entry, seeds, cases, metric=metric)
        return {region: estimate_mean(values, draws[len(seeds)]) for region, values in found.items()}

    return Row(
        entry=entry,
        dice=means("dice"),
        hd95_mm=means("hd95_mm"),
        gap=_closed(entry, benchmark, draws),
        wt_lost=_lost(entry, benchmark, draws),
        source_dice=_mean([last_source_dice(run) for run in runs]),
        minutes=_mean([training_minutes(run) for run in runs]),
    )


def _closed(entry: Entry, benchmark: Benchmark, draws: Mapping[int, Draw]) -> dict[str, Estimate]:
    """Share of the gap, over the seeds that the model and both bounds have."""
    seeds = _shared(entry, benchmark.lower, benchmark.upper)
    if not seeds:
        return dict.fromkeys(GAP_OF, Estimate(math.nan))
    own, lower, upper = (scores(e, seeds, benchmark.cases) for e in (entry, benchmark.lower, benchmark.upper))
    return {r: estimate_closed(own[r], lower[r], upper[r], draws[len(seeds)]) for r in GAP_OF}


def _lost(entry: Entry, benchmark: Benchmark, draws: Mapping[int, Draw]) -> Estimate:
    seeds = _shared(entry, benchmark.lower)
    if not seeds:
        return Estimate(math.nan)
    lower, own = (scores(e, seeds, benchmark.cases)["wt"] for e in (benchmark.lower, entry))
    return estimate_difference(lower, own, draws[len(seeds)])


def _shared(*entries: Entry) -> list[int]:
    """Seeds that all of the entries have."""
    return [seed for seed in entries[0].models if all(seed in entry.models for entry in entries)]


def _numbers(benchmark: Benchmark) -> range:
    """Numbers of seeds that resamples are drawn for."""
    return range(1, len(benchmark.seeds) + 1)


def _mean(values: Sequence[float]) -> float:
    """Mean of what is known."""
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan
