"""What a model without labels of the target is worth in labels: how many labelled children give 1* as much."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pedseg.gap.benchmark import Benchmark
from pedseg.gap.bootstrap import INTERVAL, Draw, Estimate, Floats, mean
from pedseg.gap.roles import WAYS, Entry
from pedseg.gap.rows import RESAMPLES, Draws, Row, parts_of, scores, shared_seeds
from pedseg.reporting.strata import WITH, WITHOUT

PARTS = ("tc", WITH, WITHOUT)
READING = (
    "Labels: the number of labelled children with which 1* is as good, by the line through 0 (1* itself) and the "
    "numbers in the table above, made to rise; in brackets 95 % bootstrap intervals over cases, seeds and draws of the "
    "children, the same for the model and for 1* with labels. Fine-tuned: everything is trained on them at a low rate "
    "(model 6); thresholds: a logit for each region, at which their mean Dice is highest."
)


@dataclass(frozen=True, slots=True)
class Few:
    """1* with labels of so many children, in one way.

    Attributes:
        way: one of `WAYS`.
        cases: labelled children.
        draws: the models by draw of these children.
    """

    way: str
    cases: int
    draws: Mapping[int, Entry]

    def has(self, seed: int) -> bool:
        """Whether any draw has a model of the seed."""
        return any(seed in entry.models for entry in self.draws.values())

    def values(self, seeds: Sequence[int], cases: Sequence[str], region: str) -> Floats:
        """Dice (seeds · draws, cases); NaN of a draw that a seed lacks."""
        absent = np.full(len(cases), np.nan)
        rows = [
            scores(entry, [seed], cases)[region][0] if seed in entry.models else absent
            for seed in seeds
            for entry in self.draws.values()
        ]
        return np.stack(rows)


@dataclass(frozen=True, slots=True)
class Worth:
    """What a model is worth.

    Attributes:
        row: the model.
        labels: by way and part (`PARTS`) the number of labelled children; infinite if it is better than with the most.
    """

    row: Row
    labels: Mapping[tuple[str, str], Estimate]


def few_of(benchmark: Benchmark) -> list[Few]:
    """Models that have seen few labels, by way and number."""
    found: dict[tuple[str, int], dict[int, Entry]] = {}
    for entry in benchmark.few:
        assert entry.few is not None  # noqa: S101  (that is what they are)
        way, number, draw = entry.few
        found.setdefault((way, number), {})[draw] = entry
    order = sorted(found, key=lambda key: (WAYS.index(key[0]), key[1]))
    return [Few(way, number, dict(sorted(found[way, number].items()))) for way, number in order]


def few_dice(few: Few, benchmark: Benchmark) -> dict[str, float]:
    """Mean Dice by region, and of TC in the strata, over seeds, draws and cases."""
    seeds = [seed for seed in benchmark.seeds if few.has(seed)]
    parts = {**_parts(benchmark), **{region: (region, benchmark.cases) for region in ("et", "wt")}}
    return {name: mean(few.values(seeds, cases, region)) for name, (region, cases) in parts.items()}


def worths(benchmark: Benchmark, rows: Sequence[Row], *, resamples: int = RESAMPLES, seed: int = 0) -> list[Worth]:
    """What each model that saw no label of the target is worth; none where no labels were tried.

    Args:
        benchmark: with 1*.
        rows: of the table.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    few, draws = few_of(benchmark), Draws(resamples, seed)
    return [
        Worth(
            row,
            {
                (way, name): _labels(row.entry, [f for f in few if f.way == way], benchmark, part, draws)
                for way in WAYS
                for name, part in _parts(benchmark).items()
            },
        )
        for row in rows
        if few and row.competes
    ]


def _parts(benchmark: Benchmark) -> dict[str, tuple[str, Sequence[str]]]:
    return {name: part for name, part in parts_of(benchmark).items() if name in PARTS}


def _labels(
    entry: Entry, few: Sequence[Few], benchmark: Benchmark, part: tuple[str, Sequence[str]], draws: Draws
) -> Estimate:
    """The number of labels that one model is worth in one part."""
    region, cases = part
    seeds = [seed for seed in shared_seeds(entry, benchmark.lower) if all(one.has(seed) for one in few)]
    if not seeds or not few:
        return Estimate(math.nan)
    own, lower = (scores(e, seeds, cases)[region] for e in (entry, benchmark.lower))
    given = [one.values(seeds, cases, region) for one in few]
    numbers = np.array([0, *(one.cases for one in few)], dtype=np.float64)
    value = as_many(np.array([mean(own)]), numbers, np.array([[mean(v)] for v in (lower, *given)]))
    draw, rng = draws(len(seeds), len(cases)), np.random.default_rng(draws.seed)
    resampled = [_nested(draw, len(one.draws), rng).means(v) for one, v in zip(few, given, strict=True)]
    found = as_many(draw.means(own), numbers, np.stack([draw.means(lower), *resampled]))
    return Estimate(float(value[0]), *_interval(found[~np.isnan(found)]))


def _interval(found: Floats) -> tuple[float, float]:
    """Ends that are among the resamples, of which some may be infinite."""
    if not len(found):
        return math.nan, math.nan
    low, high = INTERVAL
    return float(np.percentile(found, low, method="lower")), float(np.percentile(found, high, method="higher"))


def _nested(draw: Draw, draws: int, rng: np.random.Generator) -> Draw:
    """The same seeds and cases, and in every seed draws of children with replacement."""
    taken = rng.multinomial(draws, np.full(draws, 1 / draws), size=len(draw.seeds)).astype(np.float64)
    both = draw.seeds[:, :, None] * taken[:, None, :]
    return Draw(both.reshape(len(draw.seeds), -1), draw.cases)


def as_many(values: Floats, numbers: Floats, curve: Floats) -> Floats:
    """Where a line of Dice by number of labels, made to rise, first reaches each value.

    Args:
        values: (n,) Dice.
        numbers: (points,) of labels, ascending.
        curve: (points, n) Dice with so many labels.

    Returns:
        (n,) numbers; the first of all for what it already has, infinity for what it never reaches, NaN for what is not
        known.
    """
    rising = np.maximum.accumulate(curve, axis=0)
    reached = rising >= values
    end = np.clip(reached.argmax(axis=0), 1, len(numbers) - 1)
    columns = np.arange(len(values))
    below, above = rising[end - 1, columns], rising[end, columns]
    part = np.divide(values - below, above - below, out=np.zeros_like(values), where=above > below)
    between = numbers[end - 1] + np.clip(part, 0, 1) * (numbers[end] - numbers[end - 1])
    found: Floats = np.where(reached[0], numbers[0], np.where(reached[-1], between, np.inf))
    return np.where(np.isnan(values) | np.isnan(curve).any(axis=0), np.nan, found)
