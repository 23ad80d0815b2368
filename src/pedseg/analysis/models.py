"""The models of a report: per-case scores out of run folders and CSV files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pedseg.analysis.paper import ORDER, REGIONS, model_name
from pedseg.errors import PedsegError
from pedseg.files import read_json
from pedseg.runs import RunFolder

N_FOLDS = 5
WIDE = {"dice": "Dice", "hd95_mm": "HD95", "sensitivity": "Sensitivity", "specificity": "Specificity"}
NEEDED = ("case", "region", "dice", "hd95_mm")


@dataclass(frozen=True, slots=True)
class Model:
    """One row of the table.

    Attributes:
        name: the paper's name, or the experiment's.
        scores: a row per case and region, with the columns of scores.csv.
        runs: run folders the scores come from; empty for a CSV.
        synthetic: whether the data are.
        config: configuration of the first run.
    """

    name: str
    scores: pd.DataFrame
    runs: tuple[RunFolder, ...] = ()
    synthetic: bool = False
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def cases(self) -> frozenset[str]:
        """Ids of the scored cases."""
        return frozenset(self.scores["case"])

    @property
    def coverage(self) -> str:
        """Say how much of a cross-validation is there."""
        count = self.scores["case"].nunique()
        if not self.runs or any(run.path.name == "fold_all" for run in self.runs):
            return f"{count} cases"
        return f"{count} cases, {len(self.runs)} of {N_FOLDS} folds"


def load_models(sources: Sequence[Path]) -> list[Model]:
    """Find every model below the given run folders, and in the given CSV files, in the paper's order.

    Raises:
        PedsegError: nothing is found, a file has other columns, or two sources have one model.
    """
    models: list[Model] = []
    for source in sources:
        models += _from_runs(source) if source.is_dir() else [_from_csv(source)]
    names = [model.name for model in models]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PedsegError(f"model {twice[0]} is given twice; leave one of its folders or files out")
    return sorted(models, key=lambda m: (ORDER.index(m.name) if m.name in ORDER else len(ORDER), m.name))


def _from_runs(root: Path) -> list[Model]:
    grouped: dict[str, list[RunFolder]] = {}
    for scores in sorted(root.rglob("scores.csv")):
        run = RunFolder(scores.parent)
        grouped.setdefault(_experiment(run), []).append(run)
    if not grouped:
        raise PedsegError(f"{root}: no scores.csv below it; train with `python -m pedseg.train experiment=… fold=…`")
    return [_from_folds(experiment, runs) for experiment, runs in grouped.items()]


def _experiment(run: RunFolder) -> str:
    if run.config.exists():
        return str(read_json(run.config)["run_name"])
    return run.path.parent.name if run.path.name.startswith("fold_") else run.path.name


def _from_folds(experiment: str, runs: Sequence[RunFolder]) -> Model:
    scores = pd.concat([_read(run.scores) for run in runs], ignore_index=True)
    repeated = scores[scores.duplicated(["case", "region"])]
    if len(repeated):
        raise PedsegError(f"{runs[0].path.parent}: case {repeated['case'].iloc[0]} is scored by two folds")
    config = read_json(runs[0].config) if runs[0].config.exists() else {}
    synthetic = bool(config.get("data", {}).get("synthetic", False))
    return Model(model_name(experiment), scores, tuple(runs), synthetic, config)


def _from_csv(path: Path) -> Model:
    if not path.is_file():
        raise PedsegError(f"{path}: no such file or folder of runs")
    return Model(model_name(path.stem), _read(path))


def _read(path: Path) -> pd.DataFrame:
    """Read scores, long or one column per metric and region (``Dice-ET``, …, ``ID``)."""
    table = pd.read_csv(path)
    if "ID" in table and "Dice-ET" in table:
        table = pd.concat(_long(table), ignore_index=True)
    missing = [column for column in NEEDED if column not in table]
    if missing:
        raise PedsegError(f"{path}: has no column {missing[0]}; give a scores.csv of pedseg, or Dice-ET … ID")
    return table


def _long(table: pd.DataFrame) -> Iterable[pd.DataFrame]:
    cases = table["ID"].astype(str).str.replace(r"\.nii(\.gz)?$", "", regex=True)
    for region in REGIONS:
        values = {ours: table[f"{theirs}-{region.upper()}"] for ours, theirs in WIDE.items()}
        yield pd.DataFrame({"case": cases, "region": region, **values})


def read_sizes(path: Path) -> pd.Series:
    """Read the ET volume in mm³ of each case from a file with columns ID, Region and Number of voxels (of 1 mm³).

    The published file lists every ET row twice; the second is dropped.

    Raises:
        PedsegError: the columns are others.
    """
    table = pd.read_csv(path)
    if not {"ID", "Region", "Number of voxels"} <= set(table):
        raise PedsegError(f"{path}: needs the columns ID, Region and Number of voxels")
    rows = table[table["Region"] == "ET"].drop_duplicates("ID")
    sizes: pd.Series = rows.set_index("ID")["Number of voxels"]
    return sizes


def enhancing_volumes(models: Sequence[Model]) -> pd.Series:
    """ET volume in mm³ of each case, out of the scores of the models that have it (empty if none has)."""
    found = [m.scores[m.scores["region"] == "et"] for m in models if "label_volume_mm3" in m.scores]
    if not found:
        return pd.Series(dtype=float)
    rows = pd.concat(found).drop_duplicates("case")
    volumes: pd.Series = rows.set_index("case")["label_volume_mm3"]
    return volumes
