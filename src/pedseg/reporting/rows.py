"""The models of a report: per-case scores out of run folders and CSV files."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pedseg.errors import PedsegError
from pedseg.reporting.paper import ORDER, REGIONS, model_name
from pedseg.runs import RunFolder
from pedseg.settings.run import RunSettings
from pedseg.settings.stored import Stored, read_stored

SYNTHETIC = "SYNTHETIC data"
N_FOLDS = 5
NEEDED = ("case", "region", "dice", "hd95_mm")
WIDE = {"dice": "Dice", "hd95_mm": "HD95", "sensitivity": "Sensitivity", "specificity": "Specificity"}
WIDE_NEEDED = ("ID", *(f"{metric}-{region.upper()}" for metric in ("Dice", "HD95") for region in REGIONS))
PAPERS_DEFINITION = "brats2023"  # of tables that name none, such as those published with the paper
HOW_TO_RUN = "train with `pedseg train experiment=uda fold=0` (see conf/experiment), which scores its fold too"


@dataclass(frozen=True, slots=True)
class Model:
    """One row of the table.

    Attributes:
        name: the paper's name, or the experiment's.
        scores: a row per case and region, with the columns of scores.csv.
        runs: run folders the scores come from; empty for a CSV.
        synthetic: whether the data are.
        settings: of the first run; None for a CSV, or a run without config.json.
    """

    name: str
    scores: pd.DataFrame
    runs: tuple[RunFolder, ...] = ()
    synthetic: bool = False
    settings: Stored | None = None

    @property
    def cases(self) -> frozenset[str]:
        """Ids of the scored cases."""
        return frozenset(self.scores["case"])

    @property
    def definition(self) -> str:
        """Name of the definition of its metrics (`pedseg.metrics.definitions`)."""
        named = self.scores.get("definition", pd.Series(dtype=str)).fillna(PAPERS_DEFINITION)
        return " and ".join(sorted(set(named))) or PAPERS_DEFINITION

    @property
    def cohort(self) -> str:
        """Name of the scored cohort, ``ped`` where nothing says otherwise."""
        return self.settings.data.evaluation if isinstance(self.settings, RunSettings) else "ped"

    @property
    def needs_folds(self) -> bool:
        """Whether it takes a cross-validation to score every case: a run that trains on the scored cohort."""
        if not self.runs or any(run.path.name == "fold_all" for run in self.runs):
            return False
        if self.settings is None:
            return True
        return self.cohort in {*self.settings.data.labelled_source, *self.settings.data.target}

    @property
    def complete(self) -> bool:
        """Whether no fold is missing."""
        return not self.needs_folds or len(self.runs) >= N_FOLDS

    @property
    def coverage(self) -> str:
        """Say how much of a cross-validation is there."""
        count = f"{self.scores['case'].nunique()} cases"
        return f"{count}, {len(self.runs)} of {N_FOLDS} folds" if self.needs_folds else count


def load_models(sources: Sequence[Path]) -> list[Model]:
    """Find every model in the given places, in the paper's order.

    Args:
        sources: folders with runs below them (a model is a folder of ``fold_*``; its name is the run's, or, where the
            folder was renamed or holds no config.json, its path below the source), single run folders, CSV files of
            per-case scores, or folders of such files. A CSV has the columns of scores.csv or the wide ones of the
            published files (``Dice-ET`` … ``HD95-WT``, ``ID``); its model is called after the file.

    Raises:
        PedsegError: nothing is found, a file has other columns or lists a case twice, two sources have one model, or
            not all scores are of one definition.
    """
    models: list[Model] = []
    for source in sources:
        models += _from_folder(source) if source.is_dir() else [_from_csv(source)]
    names = [model.name for model in models]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PedsegError(f"model {twice[0]} is given twice; leave one of its folders or files out, or rename it")
    definitions = sorted({model.definition for model in models})
    if len(definitions) > 1:
        raise PedsegError(
            f"the scores follow {' and '.join(definitions)}, whose HD95 differ by millimetres; score all label maps by "
            "one (pedseg evaluate --definition) and report these"
        )
    return sorted(models, key=lambda m: (ORDER.index(m.name) if m.name in ORDER else len(ORDER), m.name))


def runs_without_scores(sources: Sequence[Path]) -> list[str]:
    """Paths, below the sources, of runs that have begun and have no scores.csv: unfinished ones, or without labels."""
    begun = (
        (source, run.parent)
        for source in sources
        if source.is_dir()
        for run in sorted(source.rglob("fold_*/config.json"))
    )
    return [run.relative_to(source).as_posix() for source, run in begun if not RunFolder(run).scores.exists()]


def _from_folder(root: Path) -> list[Model]:
    grouped: dict[Path, list[RunFolder]] = {}
    for scores in sorted(root.rglob("scores.csv")):
        if scores.resolve().parent.name.startswith("fold_"):
            grouped.setdefault(scores.parent.resolve().parent, []).append(RunFolder(scores.parent))
    if grouped:
        return [_from_folds(folder, runs, root=root) for folder, runs in grouped.items()]
    files = [path for path in sorted(root.rglob("*.csv")) if _is_scores(path)]
    if not files:
        raise PedsegError(f"{root}: no fold_*/scores.csv and no CSV of per-case scores below it; {HOW_TO_RUN}")
    return [_from_csv(path) for path in files]


def _from_folds(folder: Path, runs: Sequence[RunFolder], *, root: Path) -> Model:
    scores = pd.concat([read_scores(run.scores) for run in runs], ignore_index=True)
    repeated = scores[scores.duplicated(["case", "region"])]
    if len(repeated):
        raise PedsegError(f"{folder}: case {repeated['case'].iloc[0]} is scored by two folds; move one of them away")
    settings = read_stored(runs[0].path) if runs[0].config.exists() else None
    synthetic = isinstance(settings, RunSettings) and settings.data.synthetic
    return Model(model_name(experiment_name(folder, settings, root=root)), scores, tuple(runs), synthetic, settings)


def experiment_name(folder: Path, settings: Stored | None, *, root: Path) -> str:
    """Name of the run if the folder still bears it, else the folder's path below the source."""
    name = settings.run_name if settings else ""
    if name and folder.parts[-len(Path(name).parts) :] == Path(name).parts:
        return name
    top = root.resolve()
    return folder.relative_to(top).as_posix() if top in folder.parents else folder.name


def _from_csv(path: Path) -> Model:
    if not path.is_file():
        raise PedsegError(f"{path}: no such file or folder; {HOW_TO_RUN}")
    if path.name == "scores.csv" and path.resolve().parent.name.startswith("fold_"):
        return _from_folder(path.parent)[0]
    return Model(model_name(path.resolve().parent.name if path.name == "scores.csv" else path.stem), read_scores(path))


def _is_scores(path: Path) -> bool:
    try:
        columns = set(pd.read_csv(path, nrows=0).columns)
    except (ValueError, OSError):
        return False
    return columns >= set(NEEDED) or columns >= set(WIDE_NEEDED)


def read_scores(path: Path) -> pd.DataFrame:
    """Read scores, long or one column per metric and region (``Dice-ET``, …, ``ID``).

    Raises:
        PedsegError: the file is no table, has other columns, or lists a case twice.
    """
    try:
        table = pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise PedsegError(f"{path}: cannot be read as a table ({error}); restore or remove it") from error
    if set(table) >= set(WIDE_NEEDED):
        table = pd.concat(_long(table), ignore_index=True)
    missing = [column for column in NEEDED if column not in table]
    if missing:
        raise PedsegError(f"{path}: has no column {missing[0]}; give a scores.csv of pedseg, or Dice-ET … HD95-WT, ID")
    table["case"] = table["case"].astype(str).str.replace(r"\.nii(\.gz)?$", "", regex=True)
    table["region"] = table["region"].astype(str).str.lower()
    repeated = table[table.duplicated(["case", "region"])]
    if len(repeated):
        raise PedsegError(f"{path}: lists case {repeated['case'].iloc[0]} twice; remove one of the rows")
    return table


def _long(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for region in REGIONS:
        columns = {ours: f"{theirs}-{region.upper()}" for ours, theirs in WIDE.items()}
        values = {ours: table[theirs] for ours, theirs in columns.items() if theirs in table}
        yield pd.DataFrame({"case": table["ID"], "region": region, **values})


def pick(scores: pd.DataFrame, metric: str, region: str, *, without: Iterable[str] = ()) -> pd.Series:
    """Values of one metric in one region, by case, without the cases named."""
    rows = scores[(scores["region"] == region) & ~scores["case"].isin(frozenset(without))]
    return rows.set_index("case")[metric].astype(float)


def marked(models: Sequence[Model], text: str) -> str:
    """Add to a title that the data are synthetic, if those of any model are."""
    return f"{text} ({SYNTHETIC})" if any(model.synthetic for model in models) else text
