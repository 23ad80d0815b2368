"""The paper's Tables 2 and 3 from per-case scores, as Markdown, CSV and LaTeX."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pedseg.files import write_text
from pedseg.pages import tables
from pedseg.pages.tables import DASH, Cell, Table, number
from pedseg.reporting.paper import COLUMNS, METRICS, TABLES, group_of
from pedseg.reporting.rows import Model, pick
from pedseg.sinks import csv_text, latex

DIGITS = {"dice": 3, "hd95_mm": 2}  # as printed in the paper
TITLES = {"dice": "DSC", "hd95_mm": "HD95 (mm)"}
BEST, SECOND = 1, 2


def summarise(models: Sequence[Model], *, without: frozenset[str] = frozenset()) -> pd.DataFrame:
    """Mean and median Dice and HD95 of ET, TC and WT, a row per model.

    Args:
        models: in the order of the rows.
        without: cases to leave out (Table 3: those with hardly any ET).

    Returns:
        Columns are `COLUMNS`: ("mean dice", "et"), …; NaN where a model has no score.
    """
    rows = {}
    for model in models:
        values: dict[tuple[str, str], float] = {}
        for column, region in COLUMNS:
            statistic, metric = _split(column)
            scores = pick(model.scores, metric, region, without=without)
            values[column, region] = float(scores.mean() if statistic == "mean" else scores.median())
        rows[model.name] = values
    return pd.DataFrame.from_dict(rows, orient="index", columns=pd.MultiIndex.from_tuples(COLUMNS))


def printed(table: pd.DataFrame) -> pd.DataFrame:
    """Round as the paper prints: Dice to three decimals, HD95 to two; a dash where there is no value."""
    return pd.DataFrame(
        {column: [_print(value, _split(column[0])[1]) for value in table[column]] for column in table.columns},
        index=table.index,
    )


def ranks(table: pd.DataFrame) -> pd.DataFrame:
    """Best (1) and second-best (2) printed values of each column within each group of the paper's Table 2, as it ranks.

    Equal printed values share a rank. Everything else is 0, and so is a model that is alone in its group.
    """
    places = _places(table)
    return places.where(places <= SECOND, 0)


def marks_of(table: pd.DataFrame) -> pd.DataFrame:
    """`ranks` without what nothing singles out: values that several of a group share, and its worst."""
    places = _places(table)
    groups = [group_of(str(name)) for name in table.index]
    shared = pd.DataFrame({column: places[column].groupby(groups).transform(_is_shared) for column in places})
    return places.where((places <= SECOND) & ~shared, 0)


def _is_shared(places: pd.Series) -> pd.Series:
    """Whether a place is held by several, or is the last."""
    shared: pd.Series = places.duplicated(keep=False) | (places == places.max())
    return shared


def _places(table: pd.DataFrame) -> pd.DataFrame:
    """Dense ranks of printed values within each group; 0 where there is no value, or one model alone."""
    rounded = printed(table).replace(DASH, "nan").astype(float)
    groups = [group_of(str(name)) for name in table.index]
    places = pd.DataFrame(0, index=table.index, columns=table.columns)
    for group in set(groups):
        rows = [name for name, of in zip(table.index, groups, strict=True) if of == group]
        for column in table.columns if len(rows) > 1 else ():
            loss = rounded.loc[rows, column] * (-1 if "dice" in column[0] else 1)
            places.loc[rows, column] = np.nan_to_num(loss.rank(method="dense")).astype(int)
    return places


def score_table(table: pd.DataFrame, *, name: str, caption: str = "", second: bool = False) -> Table:
    """The table for people, best values of each group marked, second-best too if asked for (Table 3)."""
    marks = marks_of(table)
    styles = {BEST: tables.BEST, **({SECOND: tables.SECOND} if second else {})}
    rows = [
        [
            Cell(str(model)),
            *(
                number(float(value), DIGITS[_split(column[0])[1]], mark=styles.get(int(mark), ""))
                for column, value, mark in zip(table.columns, table.loc[model], marks.loc[model], strict=True)
            ),
        ]
        for model in table.index
    ]
    return Table(name, caption, ["model", *_heads()], rows)


def to_latex(table: pd.DataFrame, *, caption: str = "", second: bool = False) -> str:
    """Write the table for a manuscript (needs the booktabs package); marks as in `to_markdown`."""
    values, marks = printed(table), marks_of(table)
    styles = {BEST: r"\textbf{%s}", **({SECOND: r"\underline{%s}"} if second else {})}
    spans = " & ".join(rf"\multicolumn{{3}}{{c}}{{{_title(c)}}}" for c in METRICS)
    lines = [r"\begin{table}", rf"\caption{{{latex(caption)}}}"] if caption else []
    lines += [
        rf"\begin{{tabular}}{{l{'r' * len(COLUMNS)}}}",
        r"\toprule",
        rf" & {spans} \\",
        rf"Model & {' & '.join(region.upper() for _, region in COLUMNS)} \\",
        r"\midrule",
    ]
    for name in table.index:
        cells = [styles.get(m, "%s") % v for v, m in zip(values.loc[name], marks.loc[name], strict=True)]
        lines.append(rf"{latex(str(name))} & {' & '.join(cells)} \\")
    lines += [r"\bottomrule", r"\end{tabular}"] + ([r"\end{table}"] if caption else [])
    return "\n".join(lines) + "\n"


def agreement(table: pd.DataFrame, *, number: int) -> tuple[int, int]:
    """How many of the numbers that the paper prints for these models are the same here, and how many there are."""
    values = printed(table)
    same = [
        ours == theirs
        for name, row in TABLES[number].items()
        if name in values.index
        for ours, theirs in zip(values.loc[name], row, strict=True)
    ]
    return sum(same), len(same)


def beside_paper(table: pd.DataFrame, *, number: int) -> Table:
    """Set the paper's rows beside this run's: numbers that differ are marked, with the difference below."""
    values = printed(table)
    rows = []
    for name, theirs in TABLES[number].items():
        if name not in values.index:
            continue
        ours = [str(value) for value in values.loc[name]]
        marks = ["" if o == t else tables.BEST for o, t in zip(ours, theirs, strict=True)]
        rows.append([Cell(name), Cell("paper"), *(Cell(text, float(text)) for text in theirs)])
        shown = zip(ours, marks, strict=True)
        rows.append([Cell(""), Cell("this run"), *(Cell(o, None if o == DASH else float(o), m) for o, m in shown)])
        if any(marks):
            changes = [_difference(o, t) for o, t in zip(ours, theirs, strict=True)]
            rows.append([Cell(""), Cell("difference"), *(Cell(c, float(c) if c else None) for c in changes)])
    return Table(f"paper{number}", "", ["model", "whose", *_heads()], rows)


def write_table(table: pd.DataFrame, folder: Path, *, name: str, caption: str, second: bool) -> list[Path]:
    """Write ``<name>.md``, ``.tex`` and ``.csv`` (all digits; the caption in its last column) and return the paths."""
    flat = table.set_axis([f"{metric} {region}" for metric, region in COLUMNS], axis=1)
    flat.insert(0, "group", [group_of(str(model)) for model in table.index])
    flat["caption"] = caption
    texts = {
        "md": score_table(table, name=name, caption=caption, second=second).markdown(),
        "tex": to_latex(table, caption=caption, second=second),
        "csv": csv_text(flat, index_label="model"),
    }
    paths = [folder / f"{name}.{ending}" for ending in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    return paths


def _heads() -> list[str]:
    return [f"{_title(column)} {region.upper()}" for column, region in COLUMNS]


def _title(column: str) -> str:
    """``mean dice`` as a heading."""
    statistic, metric = _split(column)
    return f"{statistic} {TITLES[metric]}"


def _split(column: str) -> tuple[str, str]:
    statistic, _, metric = column.partition(" ")
    return statistic, metric


def _print(value: float, metric: str) -> str:
    return f"{value:.{DIGITS[metric]}f}" if math.isfinite(value) else DASH


def _difference(ours: str, theirs: str) -> str:
    if ours in (theirs, DASH):
        return ""
    return f"{float(ours) - float(theirs):+.{len(theirs.partition('.')[2])}f}"
