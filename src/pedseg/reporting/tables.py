"""The paper's Tables 2 and 3 from per-case scores, as Markdown, CSV and LaTeX."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pedseg.files import write_text
from pedseg.reporting.paper import COLUMNS, METRICS, TABLES, group_of
from pedseg.reporting.rows import Model, pick
from pedseg.sinks import csv_text, latex, markdown

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
    """Mark the best (1) and second-best (2) printed values of each column within each group of the paper's Table 2.

    Equal printed values share a mark. Everything else is 0, and so is a model that is alone in its group.
    """
    rounded = printed(table).replace("–", "nan").astype(float)
    groups = [group_of(str(name)) for name in table.index]
    marks = pd.DataFrame(0, index=table.index, columns=table.columns)
    for group in set(groups):
        rows = [name for name, of in zip(table.index, groups, strict=True) if of == group]
        for column in table.columns if len(rows) > 1 else ():
            loss = rounded.loc[rows, column] * (-1 if "dice" in column[0] else 1)
            marks.loc[rows, column] = np.nan_to_num(loss.rank(method="dense")).astype(int)
    return marks.where(marks <= SECOND, 0)


def to_markdown(table: pd.DataFrame, *, caption: str = "", second: bool = False) -> str:
    """Write the table for people, best values of each group in bold, second-best underlined if asked for (Table 3)."""
    values, marks = printed(table), ranks(table)
    styles = {BEST: "**{}**", **({SECOND: "<u>{}</u>"} if second else {})}
    lines = [caption, ""] if caption else []
    lines += [f"| model | {' | '.join(_heads())} |", f"|---|{'---:|' * len(COLUMNS)}"]
    for name in table.index:
        cells = [styles.get(m, "{}").format(v) for v, m in zip(values.loc[name], marks.loc[name], strict=True)]
        lines.append(f"| {escape(name)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def to_latex(table: pd.DataFrame, *, caption: str = "", second: bool = False) -> str:
    """Write the table for a manuscript (needs the booktabs package); marks as in `to_markdown`."""
    values, marks = printed(table), ranks(table)
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


def beside_paper(table: pd.DataFrame, *, number: int) -> str:
    """Set the paper's rows beside this run's, as Markdown: numbers that differ are bold, with the difference below."""
    values = printed(table)
    lines = [f"| model | | {' | '.join(_heads())} |", f"|---|---|{'---:|' * len(COLUMNS)}"]
    for name, theirs in TABLES[number].items():
        if name not in values.index:
            continue
        ours = [str(value) for value in values.loc[name]]
        shown = [o if o == t else f"**{o}**" for o, t in zip(ours, theirs, strict=True)]
        lines += [f"| {escape(name)} | paper | {' | '.join(theirs)} |", f"| | this run | {' | '.join(shown)} |"]
        if shown != ours:
            changes = [_difference(o, t) for o, t in zip(ours, theirs, strict=True)]
            lines.append(f"| | difference | {' | '.join(changes)} |")
    return "\n".join(lines) + "\n"


def write_table(table: pd.DataFrame, folder: Path, *, name: str, caption: str, second: bool) -> list[Path]:
    """Write ``<name>.md``, ``.tex`` and ``.csv`` (all digits; the caption in its last column) and return the paths."""
    flat = table.set_axis([f"{metric} {region}" for metric, region in COLUMNS], axis=1)
    flat.insert(0, "group", [group_of(str(model)) for model in table.index])
    flat["caption"] = caption
    texts = {
        "md": to_markdown(table, caption=caption, second=second),
        "tex": to_latex(table, caption=caption, second=second),
        "csv": csv_text(flat, index_label="model"),
    }
    paths = [folder / f"{name}.{ending}" for ending in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    return paths


def escape(name: object) -> str:
    """Keep a model's name from being read as Markdown."""
    return markdown(name)


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
    return f"{value:.{DIGITS[metric]}f}" if math.isfinite(value) else "–"


def _difference(ours: str, theirs: str) -> str:
    if ours in (theirs, "–"):
        return ""
    return f"{float(ours) - float(theirs):+.{len(theirs.partition('.')[2])}f}"
