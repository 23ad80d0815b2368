"""Sizes of the tumour's parts: which cases Table 3 leaves out, and the distributions of the paper's Fig. 3."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pedseg.errors import PedsegError
from pedseg.reporting.inputs import check_numbers, read_csv
from pedseg.reporting.rows import Model

TISSUES = ("et", "nc", "ed")
COLUMNS = {"ID": "case", "Region": "tissue", "Number of voxels": "voxels"}


def read_sizes(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the size of each tissue of each case.

    Args:
        paths: CSV files with the columns ID, Region (ET, NC, ED; others are ignored), Number of voxels (of 1 mm³) and,
            if they have one, Domain. The published file lists every ET row twice; repetitions are dropped.

    Returns:
        Index: case. Columns: et, nc, ed in mm³ and cohort.

    Raises:
        PedsegError: the columns are others, or a case has no ET row.
    """
    return pd.concat([_read(path) for path in paths]) if paths else _empty()


def _read(path: Path) -> pd.DataFrame:
    if not is_sizes(path):
        raise PedsegError(f"{path}: needs the columns {', '.join(COLUMNS)}; see the sizes the paper's authors publish")
    table = read_csv(path, what="sizes").rename(columns=COLUMNS)
    check_numbers(table, ["voxels"], where=path, low=0)
    table["tissue"] = table["tissue"].astype(str).str.lower()
    table = table[table["tissue"].isin(TISSUES)].drop_duplicates(["case", "tissue"])
    sizes = table.pivot_table(index="case", columns="tissue", values="voxels", aggfunc="first")
    sizes = sizes.reindex(columns=list(TISSUES)).astype(float)
    unknown = sizes.index[sizes["et"].isna()]
    if len(unknown):
        raise PedsegError(f"{path}: has no ET row for case {unknown[0]}; give 0 where there is no ET")
    cohorts = table.drop_duplicates("case").set_index("case").get("Domain", pd.Series(dtype=str))
    sizes["cohort"] = cohorts.reindex(sizes.index).fillna(path.stem).str.lower()
    return sizes


def is_sizes(path: Path) -> bool:
    """Whether the file is a CSV with the columns of `read_sizes`."""
    try:
        return set(COLUMNS) <= set(read_csv(path, what="sizes").columns)
    except PedsegError:
        return False


def find_sizes(sources: Sequence[Path]) -> list[Path]:
    """CSV files of sizes that lie beside the scores in the folders given."""
    return [path for source in sources if source.is_dir() for path in sorted(source.glob("*.csv")) if is_sizes(path)]


def sizes_of(models: Sequence[Model]) -> pd.DataFrame:
    """Sizes out of the scores' column ``label_volume_mm3``; same form as `read_sizes`, empty if no model has it."""
    found = [_from_scores(model) for model in models if "label_volume_mm3" in model.scores]
    if not found:
        return _empty()
    sizes = pd.concat(found)
    return sizes[~sizes.index.duplicated()]


def _from_scores(model: Model) -> pd.DataFrame:
    volumes = model.scores.pivot_table(index="case", columns="region", values="label_volume_mm3", aggfunc="first")
    volumes = volumes.reindex(columns=["wt", "tc", "et"])
    parts = {"et": volumes["et"], "nc": volumes["tc"] - volumes["et"], "ed": volumes["wt"] - volumes["tc"]}
    return pd.DataFrame(parts).assign(cohort=model.cohort)


def small_cases(sizes: pd.DataFrame, *, below_mm3: float) -> frozenset[str]:
    """Cases whose enhancing tumour is absent or smaller than `below_mm3` (the paper: 60 voxels of 1 mm³)."""
    return frozenset(map(str, sizes.index[sizes["et"] < below_mm3]))


def _empty() -> pd.DataFrame:
    return pd.DataFrame(columns=[*TISSUES, "cohort"])
