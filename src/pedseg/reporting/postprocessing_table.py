"""The report's table of post-processing: each rule set beside the raw result of the same model and cases."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from pedseg.errors import PedsegError
from pedseg.evaluation.postprocessing.folders import Applied, read_applied
from pedseg.evaluation.postprocessing.keep_largest import ChoiceRecord
from pedseg.pages.tables import Cell, Table, number, share
from pedseg.reporting.inputs import read_scores
from pedseg.reporting.paper import REGIONS
from pedseg.reporting.rows import Model, pick
from pedseg.reporting.tables import DIGITS, TITLES
from pedseg.runs import RunFolder
from pedseg.settings.variants import CORE
from pedseg.sinks import csv_text

RAW = "raw"
METRICS = ("dice", "hd95_mm")
COLUMNS = tuple((metric, region) for metric in METRICS for region in REGIONS)
CAPTION = (
    "Post-processing. Mean Dice (DSC) and HD95 after each rule set, beside the raw result; in brackets the difference "
    "to it on the same cases. Tables 2 and 3 and the comparisons are of the raw result."
)
READING = {
    "keep_largest": "keep_largest: nnU-Net's rule, chosen on held-out source cases.",
    "peds2023": "peds2023: rules of the winner of BraTS-PEDs 2023; their thresholds were chosen on labelled children.",
}
OPTIMISTIC = (
    "Of {models}, keep_largest was chosen on cases that it is scored on, as nnU-Net does; its gain is optimistic."
)


def postprocessing_table(models: Sequence[Model]) -> tuple[pd.DataFrame, list[str]]:
    """Put the post-processed scores that the runs hold beside their raw ones.

    Args:
        models: of a report; those from CSV files have none.

    Returns:
        A row per model and rule set, a raw one first: ``model``, ``rules``, ``cases``, ``changed`` (cases), then
        ``mean dice et`` … ``mean hd95_mm wt`` and ``difference dice et`` …; empty if no run was post-processed. And
        sentences about what the table needs to be read, or lacks.

    Raises:
        PedsegError: scores or records are damaged.
    """
    rows: list[dict[str, object]] = []
    notes: list[str] = []
    optimistic: list[str] = []
    for model in models:
        found: list[dict[str, object]] = []
        for name in rule_sets_of(model):
            scores, applied = _gather(model.runs, name)
            cases = frozenset(scores["case"])
            if cases == model.cases:
                found.append(_row(model, name, scores, changed=sum(one.changed_cases for one in applied)))
            else:
                notes.append(
                    f"{name} of {model.name} is not in the table: {len(cases & model.cases)} of its "
                    f"{len(model.cases)} cases have such scores. Post-process its runs again."
                )
        if found:
            rows += [_row(model, RAW, model.scores, changed=0), *found]
        if any(row["rules"] == "keep_largest" for row in found) and _chosen_on_evaluated(model):
            optimistic.append(model.name)
    used = {str(row["rules"]) for row in rows}
    reading = [text for name, text in READING.items() if any(rules.startswith(name) for rules in used)]
    reading += [OPTIMISTIC.format(models=", ".join(optimistic))] if optimistic else []
    return pd.DataFrame(rows), [*reading, *notes]


def rule_sets_of(model: Model) -> list[str]:
    """Names of the variants of any run of a model that clear up its label maps and have scores; TC := WT is a row."""
    found = [(place, place.how()) for run in model.runs for place in run.variants() if place.scores.exists()]
    rules = (None, CORE)
    return sorted({place.name for place, how in found if how and how.rules not in rules and how.of == model.variant})


def postprocessing_page_table(table: pd.DataFrame, *, caption: str) -> Table:
    """The table for people."""
    heads = [f"{TITLES[metric]} {region.upper()}" for metric, region in COLUMNS]
    rows = []
    for row in table.to_dict("records"):
        raw = row["rules"] == RAW
        changed = Cell("") if raw else share(row["changed"], row["cases"])
        cells = [_cell(row, metric, region, raw=raw) for metric, region in COLUMNS]
        rows.append([Cell(str(row["model"])), Cell(str(row["rules"])), changed, *cells])
    return Table("postprocessing", caption, ["model", "rules", "cases changed", *heads], rows)


def _cell(row: Mapping[Hashable, Any], metric: str, region: str, *, raw: bool) -> Cell:
    """The mean, and its difference to the raw result's."""
    mean = number(row[f"mean {metric} {region}"], DIGITS[metric])
    difference = number(row[f"difference {metric} {region}"], DIGITS[metric], signed=True)
    return mean if raw or difference.value is None else Cell(f"{mean.text} ({difference.text})", mean.value)


def postprocessing_csv(table: pd.DataFrame, *, caption: str) -> str:
    """Write the table with all digits; the caption in its last column."""
    return csv_text(table.assign(caption=caption))


def _row(model: Model, name: str, scores: pd.DataFrame, *, changed: int) -> dict[str, object]:
    row: dict[str, object] = {"model": model.name, "rules": name, "cases": len(model.cases), "changed": changed}
    means = {(m, r): float(pick(scores, m, r).mean()) for m, r in COLUMNS}
    raw = {(m, r): float(pick(model.scores, m, r).mean()) for m, r in COLUMNS}
    row |= {f"mean {m} {r}": value for (m, r), value in means.items()}
    return row | {f"difference {m} {r}": value - raw[m, r] for (m, r), value in means.items()}


def _gather(runs: Sequence[RunFolder], name: str) -> tuple[pd.DataFrame, list[Applied]]:
    """Scores after a rule set of all runs that have them, and the records of what was done."""
    places = [place for run in runs if (place := run.variant(name)).scores.exists()]
    applied = [record for place in places if (record := read_applied(place.path))]
    if len(applied) < len(places):
        raise PedsegError(f"{places[0].path}: a rules.json is missing; post-process the run again")
    return pd.concat([read_scores(place.scores) for place in places], ignore_index=True), applied


def _chosen_on_evaluated(model: Model) -> bool:
    choice = model.runs[0].choice
    fix = "restore it, or post-process the runs again"
    return choice.exists() and ChoiceRecord.read(choice, fix=fix).on_evaluated_cases
