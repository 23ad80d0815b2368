"""The benchmark's table as a page, CSV and JSON."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pedseg.choosing.validators import VALIDATORS
from pedseg.files import write_json, write_text
from pedseg.gap.benchmark import LOWER, UPPER, Benchmark
from pedseg.gap.bootstrap import Estimate
from pedseg.gap.choice import Choice
from pedseg.gap.labels import Worth
from pedseg.gap.labels_page import labels_record, labels_section
from pedseg.gap.rows import GAP_OF, MEAN, MOST_LOST, NEEDED_GAP, Row, best_row
from pedseg.gap.seeds import READING as SEEDS_READING
from pedseg.gap.seeds import SAME_STATISTICS, SeedCosts, seed_table
from pedseg.gap.shift import shift_text
from pedseg.pages import PAGE_FILES
from pedseg.pages.document import Document, KeyNumber, Picture, Section
from pedseg.pages.render import write_page
from pedseg.pages.tables import BEST, DASH, Cell, Table, count, number
from pedseg.reporting.paper import REGIONS
from pedseg.reporting.rows import SYNTHETIC
from pedseg.reporting.strata import MOSTLY_CORE, WITH, WITHOUT
from pedseg.sinks import csv_text

FILES = (*PAGE_FILES, "gap.csv", "gap.json")
NAMES = {**{region: region.upper() for region in REGIONS}, MEAN: "mean", WITH: f"TC {WITH}", WITHOUT: f"TC {WITHOUT}"}
DICE_OF = ("et", "tc", WITH, WITHOUT, "wt")  # TC stands for all cases and for both strata
GOAL = (
    f"at least {100 * NEEDED_GAP:.0f} % of the gap in TC closed, of all cases and of those with and without oedema, "
    f"with at most {MOST_LOST:g} Dice of WT lost"
)
READING = (
    "Gap closed: (model − 1*) / (3* − 1*) of mean Dice, of TC and of the mean of the regions; the best of the models "
    "that saw no label of the target in bold. WT lost: Dice of WT of 1* minus that of the model. Source Dice: of the "
    "last validation on patches of the cohorts whose labels the model is trained on (the source; the target for 2*, "
    "both for 3*). Minutes: of the training steps of one run, on whatever machine it ran."
)


@dataclass(frozen=True, slots=True)
class Report:
    """What the page says.

    Attributes:
        benchmark: what was found.
        rows: of the table.
        choices: of each validator; may be empty.
        costs: of each validator's choices within the seeds; may be empty.
        validator: whose choice decides whether the goal is reached.
        resamples: of the bootstrap.
        machine: where the report was made.
        date: when, as YYYY-MM-DD.
        notes: sentences on what is missing.
        pictures: that the page shows.
        worths: what each model is worth in labels; may be empty.
    """

    benchmark: Benchmark
    rows: Sequence[Row]
    choices: Sequence[Choice]
    costs: Sequence[SeedCosts]
    validator: str
    resamples: int
    machine: str
    date: str
    notes: Sequence[str] = field(default=())
    pictures: Sequence[Picture] = field(default=())
    worths: Sequence[Worth] = field(default=())

    @property
    def mark(self) -> str:
        """What is added to titles and captions where the data are synthetic."""
        return f" ({SYNTHETIC})" if self.benchmark.synthetic else ""

    @property
    def _strata(self) -> str:
        """How many of the test cases are of each stratum."""
        known = [f"{len(cases)} {name}" for name, cases in self.benchmark.strata.items() if cases]
        return f" ({', '.join(known)}: TC/WT below {MOSTLY_CORE} and above)" if known else ""

    @property
    def caption(self) -> str:
        """Caption of the table."""
        seeds = self.benchmark.seeds
        shift = f" {text}" if (text := shift_text(self.benchmark)) else ""
        drawn = f"cases and {len(seeds)} seeds" if len(seeds) > 1 else "cases alone, as there is one seed"
        return (
            f"Mean Dice and HD95 ({self.benchmark.definition}) on {len(self.benchmark.cases)} test cases of the "
            f"target{self._strata}, seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}; in brackets 95 % "
            f"bootstrap intervals over {drawn} ({self.resamples} resamples).{shift} "
            f"Made on {self.machine}, {self.date}.{self.mark}"
        )


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write index.html, gap.csv and gap.json and return the paths."""
    write_text(folder / "gap.csv", to_csv(report))
    write_json(folder / "gap.json", to_json(report))
    return [*write_page(gap_document(report), folder), folder / "gap.csv", folder / "gap.json"]


def gap_document(report: Report) -> Document:
    """The page."""
    whose, numbers = _numbers(report)
    flattered = report.benchmark.synthetic and any(costs.validator == "sizes" for costs in report.costs)
    seeds = Section(
        "Choosing without labels, seed by seed",
        [SEEDS_READING],
        tables=[seed_table(report.costs)] if report.costs else [],
        notes=[SAME_STATISTICS] if flattered else [],
    )
    sections = [
        Section("Models", [READING], tables=[replace(main_table(report.rows), caption=report.caption)]),
        Section("HD95 by region", tables=[distance_table(report.rows)]),
        Section("Choosing without labels", tables=[choice_table(report.choices)] if report.choices else []),
        *([seeds] if report.costs else []),
        labels_section(report.benchmark, report.worths),
        Section("Pictures", pictures=report.pictures),
        Section("Notes", points=report.notes),
    ]
    title = f"Label-free benchmark{report.mark}"
    lead = [*whose, goal_text(report)]
    sections = [replace(one, tables=[_marked(table, report.mark) for table in one.tables]) for one in sections]
    return Document(title, sections, lead, numbers, synthetic=report.benchmark.synthetic)


def _marked(table: Table, mark: str) -> Table:
    """Say in the caption that the data are synthetic, where it does not yet."""
    return table if table.caption.endswith(mark) else replace(table, caption=f"{table.caption}{mark}")


def _numbers(report: Report) -> tuple[list[str], list[KeyNumber]]:
    """The numbers that matter, of the model that the validator chooses; none where it chooses none, or several tie."""
    choice = next((c for c in report.choices if c.validator == report.validator), None)
    if choice is None or len(choice.rows) != 1:
        return [], []
    row = choice.rows[0]
    parts = ("tc", WITH, WITHOUT)
    known = {name: len(cases) for name, cases in report.benchmark.strata.items()}
    counts = [f"n = {number}" for number in (len(report.benchmark.cases), known.get(WITH, 0), known.get(WITHOUT, 0))]
    numbers = [
        KeyNumber(
            "Dice of TC: all · with oedema · without",
            " · ".join(number(row.dice[part].value, 3).text for part in parts),
            " · ".join(counts),
        ),
        KeyNumber(f"Dice of WT lost against {LOWER}", _signed(row.wt_lost.value), f"WT {_interval(row.dice['wt'])}"),
        KeyNumber("Gap in TC closed (%)", gap_cell(row, "tc"), f"0 is {LOWER}, 100 {UPPER}"),
    ]
    whose = f"The first numbers are of {row.entry.title}, which {VALIDATORS[choice.validator]} chooses without labels."
    return [whose], numbers


def main_table(rows: Sequence[Row]) -> Table:
    """A row per model; what closes most of each gap among those without labels of the target is marked."""
    best = {region: best_row(rows, region) for region in GAP_OF}
    heads = ["model", "role", *(f"Dice {NAMES[name]}" for name in DICE_OF), "HD95 (mm)"]
    heads += [*(f"{NAMES[name]} gap closed (%)" for name in GAP_OF), "WT lost", "source Dice", "minutes", "seeds"]
    cells = []
    for row in rows:
        lost = number(row.wt_lost.value, 3, signed=True) if row.entry.bound != LOWER else Cell(DASH)
        cells.append(
            [
                Cell(row.entry.title),
                Cell(row.entry.role.value),
                *(_cell(row.dice[name]) for name in DICE_OF),
                number(row.hd95_mm[MEAN].value, 1),
                *(_gap(row, region, best=row is best[region]) for region in GAP_OF),
                lost,
                number(row.source_dice, 3),
                number(row.minutes, 1),
                count(len(row.entry.models)),
            ]
        )
    return Table("gap", "", heads, cells)


def _gap(row: Row, region: str, *, best: bool) -> Cell:
    text = gap_cell(row, region)
    return Cell(text, None if text == DASH else row.gap[region].value, BEST if best else "")


def distance_table(rows: Sequence[Row]) -> Table:
    """HD95 in mm by region and their mean, a row per model."""
    names = (*REGIONS, MEAN)
    cells = [[Cell(row.entry.title), *(_cell(row.hd95_mm[name], digits=1) for name in names)] for row in rows]
    return Table("hd95", "Mean HD95 in mm, with intervals.", ["model", *(NAMES[name] for name in names)], cells)


def choice_table(choices: Sequence[Choice]) -> Table:
    """What each validator chooses, and what labels say of that."""
    heads = ["validator", "chosen", "of", "TC gap closed (%)", "WT lost", "goal"]
    rows = [
        [
            Cell(VALIDATORS[choice.validator]),
            Cell(row.entry.title),
            count(choice.candidates),
            _gap(row, "tc", best=False),
            number(row.wt_lost.value, 3, signed=True),
            Cell("met" if row.reaches_goal else "not met"),
        ]
        for choice in choices
        for row in choice.rows
    ]
    return Table("choices", "The model that each validator chooses, and what labels say of it.", heads, rows)


def goal_text(report: Report) -> str:
    """Whether the goal is reached by the model that the validator chooses, and what labels would have chosen."""
    choice = next((c for c in report.choices if c.validator == report.validator), None)
    name = VALIDATORS[report.validator]
    if choice is None:
        verdict = f"open: {name} has not scored the runs; run pedseg validate on each seed's folder"
    else:
        chosen = " and ".join(f"{row.entry.title} ({_result(row)})" for row in choice.rows)
        verdict = f"{'met' if choice.reaches_goal else 'not met'} by {chosen}"
        verdict += f", chosen by {name} among {choice.candidates} models without a label of the target"
    best = best_row(report.rows)
    text = f"Goal, {GOAL}: {verdict}."
    if best is None:
        return text
    if choice is not None and best in choice.rows:
        return f"{text} Labels would have chosen the same."
    return f"{text} Labels would have chosen {best.entry.title} ({_result(best)}): an oracle, not a result."


def _signed(dice: float) -> str:
    """A difference of Dice with its sign."""
    return number(dice, 3, signed=True).text


def to_csv(report: Report) -> str:
    """A row per model with all digits; the caption in the last column."""
    return csv_text(pd.DataFrame([{**_record(row), "caption": report.caption} for row in report.rows]))


def to_json(report: Report) -> dict[str, Any]:
    """Everything in plain Python; None for what cannot be had."""
    choice = next((c for c in report.choices if c.validator == report.validator), None)
    return {
        "caption": report.caption,
        "synthetic": report.benchmark.synthetic,
        "definition": report.benchmark.definition,
        "seeds": list(report.benchmark.seeds),
        "cases": list(report.benchmark.cases),
        "resamples": report.resamples,
        "machine": report.machine,
        "date": report.date,
        "models": [{key: _plain(value) for key, value in _record(row).items()} for row in report.rows],
        "choices": {c.validator: [row.entry.name for row in c.rows] for c in report.choices},
        "seed costs": {costs.validator: _seed_record(costs) for costs in report.costs},
        "labels": labels_record(report.worths),
        "validator": report.validator,
        "goal": GOAL,
        "goal_met": None if choice is None else choice.reaches_goal,
        "notes": list(report.notes),
    }


def gap_cell(row: Row, region: str) -> str:
    """Share of the gap closed in per cent; the bounds are its ends."""
    if row.entry.bound in (LOWER, UPPER) and _known(row.gap[region]):
        return "0" if row.entry.bound == LOWER else "100"
    return _interval(row.gap[region], digits=0, scale=100)


def _record(row: Row) -> dict[str, Any]:
    record: dict[str, Any] = {"model": row.entry.name, "bound": row.entry.bound, "role": row.entry.role.value}
    record["seeds"] = " ".join(map(str, row.entry.models))
    estimates = {f"dice {name}": row.dice[name] for name in NAMES}
    estimates |= {f"hd95_mm {name}": row.hd95_mm[name] for name in (*REGIONS, MEAN)}
    estimates |= {f"gap closed {name}": row.gap[name] for name in GAP_OF}
    for name, estimate in {**estimates, "wt lost": row.wt_lost}.items():
        record |= {name: estimate.value, f"{name} low": estimate.low, f"{name} high": estimate.high}
    return {**record, "source dice": row.source_dice, "minutes": row.minutes}


def _seed_record(costs: SeedCosts) -> dict[str, Any]:
    return {
        "chosen": {str(seed): list(names) for seed, names in costs.chosen.items()},
        "regret": {str(seed): _plain(value) for seed, value in costs.regret.items()},
        "correlation": {str(seed): _plain(value) for seed, value in costs.correlation.items()},
        "mean_regret": _plain(costs.mean_regret),
        "mean_correlation": _plain(costs.mean_correlation),
    }


def _result(row: Row) -> str:
    return f"{gap_cell(row, 'tc')} % of the gap, {_signed(row.wt_lost.value)} WT lost"


def _cell(estimate: Estimate, *, digits: int = 3) -> Cell:
    text = _interval(estimate, digits=digits)
    return Cell(text, None if text == DASH else estimate.value)


def _interval(estimate: Estimate, *, digits: int = 3, scale: float = 1.0) -> str:
    if not _known(estimate):
        return DASH
    text = f"{scale * estimate.value:.{digits}f}"
    if not math.isfinite(estimate.low):
        return text
    return f"{text} ({scale * estimate.low:.{digits}f} … {scale * estimate.high:.{digits}f})"


def _known(estimate: Estimate) -> bool:
    return math.isfinite(estimate.value)


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
