"""What labels are worth, on the page and as JSON."""

import math
from collections.abc import Sequence
from typing import Any

from pedseg.gap.benchmark import Benchmark
from pedseg.gap.bootstrap import Estimate
from pedseg.gap.labels import PARTS, READING, Worth, few_dice, few_of
from pedseg.gap.roles import WAYS
from pedseg.pages.document import Section
from pedseg.pages.tables import DASH, Cell, Table, count, number

DICE_OF = ("et", *PARTS, "wt")


def labels_section(benchmark: Benchmark, found: Sequence[Worth]) -> Section:
    """The part of the page; empty where no labels were tried."""
    few = few_of(benchmark)
    title = "What it is worth in labels"
    if not few:
        return Section(title)
    rows = []
    for one in few:
        dice = few_dice(one, benchmark)
        cells = [Cell(f"{one.cases} children", one.cases), Cell(one.way), count(len(one.draws))]
        rows.append([*cells, *(number(dice.get(part, math.nan), 3) for part in DICE_OF)])
    heads = ["1* with labels of", "way", "draws", *(f"Dice {_name(part)}" for part in DICE_OF)]
    tried = Table("few_labels", "The adults' model trained on with labels of few children.", heads, rows)
    return Section(title, [READING], tables=[tried, _worth_table(found, most=_most(benchmark))])


def labels_record(found: Sequence[Worth]) -> dict[str, Any]:
    """Numbers of labels by model, way and part, in plain Python: value, low and high, None where unknown or beyond."""
    return {
        one.row.entry.name: {
            f"{way}, {part}": [value if math.isfinite(value) else None for value in _values(estimate)]
            for (way, part), estimate in one.labels.items()
        }
        for one in found
    }


def _most(benchmark: Benchmark) -> dict[str, int]:
    """The most labelled children that were tried in each way."""
    return {way: max([one.cases for one in few_of(benchmark) if one.way == way], default=0) for way in WAYS}


def _worth_table(found: Sequence[Worth], *, most: dict[str, int]) -> Table:
    columns = [(way, part) for way in WAYS if most[way] for part in PARTS]
    rows = [
        [
            Cell(one.row.entry.title),
            *(_labels(one.labels.get(column, Estimate(math.nan)), most[column[0]]) for column in columns),
        ]
        for one in found
    ]
    heads = ["model", *(f"{way}: {_name(part)}" for way, part in columns)]
    return Table("worth", "Labelled children that each model is worth.", heads, rows)


def _labels(estimate: Estimate, most: int) -> Cell:
    value, low, high = (f"> {most}" if math.isinf(number) else f"{number:.1f}" for number in _values(estimate))
    if math.isnan(estimate.value):
        return Cell(DASH)
    text = value if math.isnan(estimate.low) else f"{value} ({low} … {high})"
    return Cell(text, min(estimate.value, float(most + 1)))


def _values(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def _name(part: str) -> str:
    return part.upper() if part in ("et", "tc", "wt") else f"TC {part}"
