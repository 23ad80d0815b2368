"""What a run folder holds, as one flat mapping for summaries: ``test/<variant>/<region>/dice`` and the like."""

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from pedseg.errors import PedsegError
from pedseg.files import read_json
from pedseg.runs import RunFolder, VariantFolder

TEST, VALIDATOR, CALIBRATION, BEST, LAST = "test", "validator", "calibration", "best", "last"
METRICS = ("dice", "hd95_mm")
HIGHER, LOWER = ("dice", "accuracy"), ("loss",)  # parts of names that say which value of a curve is its best
CURVES = ("val/", "train/loss")  # curves with a best and a last value
Row = dict[str, float]


def results_of(run: RunFolder) -> dict[str, float]:
    """Mean scores of every variant, its scores without labels and its thresholds, and the ends of the curves.

    Means are over the cases that have the metric. Nothing tells of a case.
    """
    found: dict[str, float] = {}
    for place in run.variants():
        found |= dict(_scores(place)) | dict(_validators(place)) | dict(_thresholds(place))
    return found | dict(_ends(read_curves(run.metrics)))


def _scores(place: VariantFolder) -> Iterator[tuple[str, float]]:
    if not place.scores.exists():
        return
    table = read_scores(place.scores)
    for region, rows in table.groupby("region"):
        for metric in METRICS:
            mean = float(rows[metric].mean())
            if math.isfinite(mean):
                yield f"{TEST}/{place.name}/{region}/{metric}", mean
    yield f"{TEST}/{place.name}/cases", float(table["case"].nunique())


def read_scores(path: Path) -> pd.DataFrame:
    """A row for each case and region of a scores.csv.

    Raises:
        PedsegError: it is none.
    """
    try:
        table = pd.read_csv(path, dtype={"case": str, "region": str})
        return table.astype(dict.fromkeys(METRICS, float))[["case", "region", *METRICS]]
    except (ValueError, KeyError, OSError) as error:
        raise PedsegError(f"{path}: cannot be read as scores ({error}); restore it, or score again") from error


def _validators(place: VariantFolder) -> Iterator[tuple[str, float]]:
    scores = read_json(place.validators)["scores"] if place.validators.exists() else {}
    yield from ((f"{VALIDATOR}/{place.name}/{name}", value) for name, value in scores.items() if value is not None)


def _thresholds(place: VariantFolder) -> Iterator[tuple[str, float]]:
    found = read_json(place.thresholds).get("thresholds") if place.thresholds.exists() else None
    yield from ((f"{CALIBRATION}/{place.name}/{region}/logit", value) for region, value in (found or {}).items())


def read_curves(path: Path) -> list[Row]:
    """Rows of metrics.csv, with the columns that each has; none where there is no such file.

    Raises:
        PedsegError: it holds something else.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    except (ValueError, TypeError, csv.Error) as error:
        raise PedsegError(f"{path}: cannot be read as training curves ({error}); restore or remove it") from error


def _ends(rows: Sequence[Row]) -> Iterator[tuple[str, float]]:
    """Best and last value of each curve that has a best."""
    for name in sorted({name for row in rows for name in row if name.startswith(CURVES)}):
        values = [row[name] for row in rows if math.isfinite(row.get(name, math.nan))]
        better = max if any(part in name for part in HIGHER) else min if any(part in name for part in LOWER) else None
        if better and values:
            yield f"{BEST}/{name}", better(values)
            yield f"{LAST}/{name}", values[-1]
