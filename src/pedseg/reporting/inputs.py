"""CSV files that reports are made of, checked before anything is drawn of them."""

import io
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from pedseg.cases.naming import composed
from pedseg.errors import PedsegError
from pedseg.files import read_text
from pedseg.reporting.paper import REGIONS
from pedseg.sinks import from_cell

NEEDED = ("case", "region", "dice", "hd95_mm")
WIDE = {"dice": "Dice", "hd95_mm": "HD95", "sensitivity": "Sensitivity", "specificity": "Specificity"}
WIDE_NEEDED = ("ID", *(f"{metric}-{region.upper()}" for metric in ("Dice", "HD95") for region in REGIONS))
PARTS = ("dice", "sensitivity", "specificity", "surface_dice", "lesionwise_dice", "lesionwise_f1")  # from 0 to 1
MENDED = "restore the file or remove it"


def read_csv(path: Path, *, what: str) -> pd.DataFrame:
    """Read a CSV file.

    Args:
        path: the file.
        what: it is read as, for messages.

    Raises:
        PedsegError: it is absent, no regular file, empty, or no table.
    """
    try:
        return pd.read_csv(io.StringIO(read_text(path, what=what)))
    except ValueError as error:
        raise PedsegError(f"{path}: cannot be read as {what} ({error}); {MENDED}") from error


def check_numbers(
    table: pd.DataFrame, columns: Iterable[str], *, where: Path, low: float = -math.inf, high: float = math.inf
) -> None:
    """Whether columns hold numbers, or nothing, from `low` to `high`; absent columns do.

    Raises:
        PedsegError: one does not; the value is named.
    """
    for name in columns:
        if name not in table:
            continue
        given = table[name].dropna()
        values = pd.to_numeric(given, errors="coerce")
        wrong = given[values.isna() | ~values.between(low, high)]
        if len(wrong) or given.dtype == bool:
            value = wrong.iloc[0] if len(wrong) else given.iloc[0]
            told = repr(value) if isinstance(value, str) else str(value)
            what = "no number" if math.isinf(low) else f"no number from {low:g}" + f" to {high:g}" * math.isfinite(high)
            raise PedsegError(f"{where}: {name} {told} is {what}; {MENDED}")


def is_scores(path: Path) -> bool:
    """Whether a file is a CSV of scores per case, as `read_scores` knows them."""
    try:
        columns = set(read_csv(path, what="scores").columns)
    except PedsegError:
        return False
    return columns >= set(NEEDED) or columns >= set(WIDE_NEEDED)


def read_scores(path: Path) -> pd.DataFrame:
    """Read scores, long or one column per metric and region (``Dice-ET``, …, ``ID``).

    Raises:
        PedsegError: the file is no table, has other columns, holds something else than a number, or lists a case twice.
    """
    table = read_csv(path, what="scores")
    if set(table) >= set(WIDE_NEEDED):
        table = pd.concat(_long(table), ignore_index=True)
    missing = [column for column in NEEDED if column not in table]
    if missing:
        raise PedsegError(f"{path}: has no column {missing[0]}; give a scores.csv of pedseg, or Dice-ET … HD95-WT, ID")
    if table.empty:
        raise PedsegError(f"{path}: has no rows; {MENDED}")
    check_numbers(table, PARTS, where=path, low=0, high=1)
    check_numbers(table, [name for name in map(str, table) if name.endswith(("_mm", "_mm3"))], where=path, low=0)
    table["case"] = table["case"].astype(str).map(from_cell).map(composed).str.replace(r"\.nii(\.gz)?$", "", regex=True)
    table["region"] = table["region"].astype(str).str.lower()
    if len(other := table[~table["region"].isin(REGIONS)]):
        raise PedsegError(f"{path}: region {other['region'].iloc[0]!r} is none of {', '.join(REGIONS)}; {MENDED}")
    repeated = table[table.duplicated(["case", "region"])]
    if len(repeated):
        raise PedsegError(f"{path}: lists case {repeated['case'].iloc[0]} twice; remove one of the rows")
    return table


def _long(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for region in REGIONS:
        columns = {ours: f"{theirs}-{region.upper()}" for ours, theirs in WIDE.items()}
        values = {ours: table[theirs] for ours, theirs in columns.items() if theirs in table}
        yield pd.DataFrame({"case": table["ID"], "region": region, **values})
