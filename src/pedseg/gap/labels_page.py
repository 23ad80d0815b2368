"""What labels are worth, as Markdown and JSON."""

import math
from collections.abc import Sequence
from typing import Any

from pedseg.gap.benchmark import Benchmark
from pedseg.gap.bootstrap import Estimate
from pedseg.gap.labels import PARTS, READING, Worth, few_dice, few_of
from pedseg.gap.roles import WAYS
from pedseg.reporting.tables import escape

DICE_OF = ("et", *PARTS, "wt")


def labels_page(benchmark: Benchmark, found: Sequence[Worth], *, mark: str) -> list[str]:
    """Paragraphs of the page; none where no labels were tried."""
    few = few_of(benchmark)
    if not few:
        return []
    heads = [f"Dice {_name(part)}" for part in DICE_OF]
    lines = [f"| 1* with labels of | | draws | {' | '.join(heads)} |", f"|---|---|---:|{'---:|' * len(heads)}"]
    for one in few:
        dice = few_dice(one, benchmark)
        cells = [f"{dice[part]:.3f}" if math.isfinite(dice.get(part, math.nan)) else "–" for part in DICE_OF]
        lines.append(f"| {one.cases} children | {one.way} | {len(one.draws)} | {' | '.join(cells)} |")
    title = f"## What it is worth in labels{mark}"
    return [title, "\n".join(lines).replace("1*", "1\\*"), escape(READING), _worth_table(found, most=_most(benchmark))]


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


def _worth_table(found: Sequence[Worth], *, most: dict[str, int]) -> str:
    ways = [way for way in WAYS if most[way]]
    heads = [f"{way}: {_name(part)}" for way in ways for part in PARTS]
    lines = [f"| model | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    for one in found:
        cells = [_labels(one.labels.get((way, part), Estimate(math.nan)), most[way]) for way in ways for part in PARTS]
        lines.append(f"| {escape(one.row.entry.title)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _labels(estimate: Estimate, most: int) -> str:
    value, low, high = (f"> {most}" if math.isinf(number) else f"{number:.1f}" for number in _values(estimate))
    if math.isnan(estimate.value):
        return "–"
    return value if math.isnan(estimate.low) else f"{value} ({low} … {high})"


def _values(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def _name(part: str) -> str:
    return part.upper() if part in ("et", "tc", "wt") else f"TC {part}"
