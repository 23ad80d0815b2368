"""The paper's Tables 2 and 3 from per-case scores, as Markdown, CSV and LaTeX."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pedseg.analysis.models import Model
from pedseg.analysis.paper import COLUMNS, METRICS, REGIONS, TABLES, WITHOUT_DEEP_SUPERVISION
from pedseg.files import write_text

DIGITS = {"dice": 3, "hd95_mm": 2}  # as printed in the paper
TITLES = {"dice": "DSC", "hd95_mm": "HD95 (mm)"}


def summarise(models: Sequence[Model], *, without: frozenset[str] = frozenset()) -> pd.DataFrame:
    """Mean and median Dice and HD95 of ET, TC and WT, a row per model.

    Args:
        models: in the order of the rows.
        without: cases to leave out (Table 3: those with hardly any ET).

    Returns:
        Columns are `COLUMNS`: ("mean dice", "et"), …
    """
    rows = {}
    for model in models:
        scores = model.scores[~model.scores["case"].isin(without)]
        values: dict[tuple[str, str], float] = {}
        for statistic, metric in map(_split, METRICS):
            by_region = scores.groupby("region")[metric].agg(statistic)
            values |= {(f"{statistic} {metric}", region): float(by_region.get(region, math.nan)) for region in REGIONS}
        rows[model.name] = values
    return pd.DataFrame.from_dict(rows, orient="index", columns=pd.MultiIndex.from_tuples(COLUMNS))


def printed(table: pd.DataFrame) -> pd.DataFrame:
    """Round as the paper prints: Dice to three decimals, HD95 to two."""
    return pd.DataFrame(
        {column: [f"{value:.{DIGITS[_split(column[0])[1]]}f}" for value in table[column]] for column in table.columns},
        index=table.index,
    )


def best(table: pd.DataFrame) -> pd.DataFrame:
    """Mark the best printed value of each column, apart for models with and without deep supervision (as the paper)."""
    marks = pd.DataFrame(False, index=table.index, columns=table.columns)
    rounded = printed(table).astype(float)
    starred = [name in WITHOUT_DEEP_SUPERVISION for name in table.index]
    for group in (starred, [not s for s in starred]):
        for column in table.columns:
            values = rounded.loc[group, column]
            target = values.max() if "dice" in column[0] else values.min()
            marks.loc[group, column] = (values == target) & (len(values) > 1)
    return marks


def _heads(table: pd.DataFrame) -> list[str]:
    return [f"{_title(column)} {region.upper()}" for column, region in COLUMNS]


def _title(column: str) -> str:
    """``mean dice`` as a heading."""
    statistic, metric = _split(column)
    return f"{statistic} {TITLES[metric]}"


def _split(column: str) -> tuple[str, str]:
    statistic, _, metric = column.partition(" ")
    return statistic, metric


def to_markdown(table: pd.DataFrame) -> str:
    """Write the table for people, best values in bold."""
    values, marks = printed(table), best(table)
    lines = [f"| model | {' | '.join(_heads(table))} |", f"|---|{'---:|' * len(table.columns)}"]
    for name in map(str, table.index):
        cells = [f"**{v}**" if m else v for v, m in zip(values.loc[name], marks.loc[name], strict=True)]
        lines.append(f"| {name.replace('*', chr(92) + '*')} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def to_latex(table: pd.DataFrame) -> str:
    """Write the table for a manuscript (needs the booktabs package)."""
    values, marks = printed(table), best(table)
    spans = " & ".join(rf"\multicolumn{{3}}{{c}}{{{_title(c)}}}" for c in METRICS)
    regions = " & ".join(region.upper() for _, region in COLUMNS)
    lines = [
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        rf" & {spans} \\",
        rf"Model & {regions} \\",
    ]
    lines.append(r"\midrule")
    for name in table.index:
        cells = [rf"\textbf{{{v}}}" if m else v for v, m in zip(values.loc[name], marks.loc[name], strict=True)]
        lines.append(rf"{name.replace('_', chr(92) + '_')} & {' & '.join(cells)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def beside_paper(table: pd.DataFrame, *, number: int) -> str:
    """Set each of the paper's models beside this run, as Markdown; digits that differ are in italics."""
    values = printed(table)
    lines = [f"| model | | {' | '.join(_heads(table))} |", f"|---|---|{'---:|' * len(table.columns)}"]
    for name, theirs in TABLES[number].items():
        if name not in values.index:
            continue
        ours = [str(value) for value in values.loc[name]]
        shown = [v if v == p else f"*{v}*" for v, p in zip(ours, theirs, strict=True)]
        escaped = name.replace("*", r"\*")
        lines += [f"| {escaped} | paper | {' | '.join(theirs)} |", f"| | this run | {' | '.join(shown)} |"]
    return "\n".join(lines) + "\n"


def write_table(table: pd.DataFrame, folder: Path, *, name: str) -> None:
    """Write ``<name>.md``, ``.csv`` (all digits) and ``.tex``."""
    write_text(folder / f"{name}.md", to_markdown(table))
    write_text(folder / f"{name}.tex", to_latex(table))
    flat = table.copy()
    flat.columns = pd.Index([f"{metric} {region}" for metric, region in COLUMNS])
    write_text(folder / f"{name}.csv", flat.to_csv(index_label="model"))
