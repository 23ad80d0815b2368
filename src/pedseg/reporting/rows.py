"""The models of a report: per-case scores out of run folders and CSV files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pedseg.errors import PedsegError
from pedseg.reporting.inputs import is_scores, read_scores
from pedseg.reporting.paper import ORDER, model_name
from pedseg.runs import BETWEEN, PLAIN, RunFolder, VariantFolder, titled
from pedseg.settings.run import RunSettings
from pedseg.settings.stored import Stored, read_stored
from pedseg.settings.variants import CORE, Variant

SYNTHETIC = "SYNTHETIC data"
N_FOLDS = 5
PAPERS_DEFINITION = "brats2023"  # of tables that name none, such as those published with the paper
HOW_TO_RUN = "train with `pedseg train experiment=uda fold=0` (see conf/experiment), which scores its fold too"


@dataclass(frozen=True, slots=True)
class Model:
    """One row of the table: a run, predicted in one way.

    Attributes:
        name: the paper's name, or the experiment's, with the variant if it is not the plain one.
        scores: a row per case and region, with the columns of scores.csv.
        runs: run folders the scores come from; empty for a CSV.
        synthetic: whether the data are.
        settings: of the first run; None for a CSV, or a run without config.json.
        variant: the way in which the runs were predicted.
        how: its settings, in the first run; None for a CSV, or where nobody knows them.
    """

    name: str
    scores: pd.DataFrame
    runs: tuple[RunFolder, ...] = ()
    synthetic: bool = False
    settings: Stored | None = None
    variant: str = PLAIN
    how: Variant | None = None

    @property
    def places(self) -> list[VariantFolder]:
        """Folder of the variant in each run."""
        return [run.variant(self.variant) for run in self.runs]

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
        sources: folders with runs below them (a model is a variant of a folder of ``fold_*`` that is a prediction, or
            the rule TC := WT on one, but no other clearing up; its name is the run's, or, where the folder was renamed
            or holds no config.json, its path below the source), single run folders, CSV files of
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
    return sorted(models, key=_place_in_table)


def _place_in_table(model: Model) -> tuple[int, str]:
    base = model.name.partition(BETWEEN)[0]
    return ORDER.index(base) if base in ORDER else len(ORDER), model.name


def runs_without_scores(sources: Sequence[Path]) -> list[str]:
    """Paths, below the sources, of runs that have begun and have no scores.csv: unfinished ones, or without labels."""
    begun = (
        (source, run.parent)
        for source in sources
        if source.is_dir()
        for run in sorted(source.rglob("fold_*/config.json"))
    )
    return [run.relative_to(source).as_posix() for source, run in begun if not _scored(RunFolder(run))]


def runs_without_curves(models: Sequence[Model]) -> list[RunFolder]:
    """Runs that were trained here and have lost their metrics.csv."""
    runs = {run.path: run for model in models if isinstance(model.settings, RunSettings) for run in model.runs}
    return [run for run in runs.values() if not run.metrics.exists()]


def _scored(run: RunFolder) -> bool:
    return any(variant.scores.exists() for variant in run.variants())


def run_folders(root: Path) -> list[RunFolder]:
    """Run folders at or below a folder, whatever state they are in."""
    resolved = root.resolve()
    own = [root] if resolved.name.startswith("fold_") else []
    return [RunFolder(path) for path in [*own, *sorted(path for path in root.rglob("fold_*") if path.is_dir())]]


def _from_folder(root: Path) -> list[Model]:
    grouped: dict[tuple[Path, str], list[RunFolder]] = {}
    for run in run_folders(root):
        for place in run.variants():
            how = place.how()
            if place.scores.exists() and (how is None or how.rules in (None, CORE)):
                grouped.setdefault((run.path.resolve().parent, place.name), []).append(run)
    if grouped:
        return [_from_folds(folder, name, runs, root=root) for (folder, name), runs in grouped.items()]
    files = [path for path in sorted(root.rglob("*.csv")) if is_scores(path)]
    if not files:
        raise PedsegError(
            f"{root}: no fold_*/predictions/*/scores.csv and no CSV of per-case scores below it; {HOW_TO_RUN}"
        )
    return [_from_csv(path) for path in files]


def _from_folds(folder: Path, variant: str, runs: Sequence[RunFolder], *, root: Path) -> Model:
    places = [run.variant(variant) for run in runs]
    scores = pd.concat([read_scores(place.scores) for place in places], ignore_index=True)
    repeated = scores[scores.duplicated(["case", "region"])]
    if len(repeated):
        raise PedsegError(f"{folder}: case {repeated['case'].iloc[0]} is scored by two folds; move one of them away")
    settings = read_stored(runs[0].path) if runs[0].config.exists() else None
    synthetic = isinstance(settings, RunSettings) and settings.data.synthetic
    name = titled(model_name(experiment_name(folder, settings, root=root)), variant)
    return Model(name, scores, tuple(runs), synthetic, settings, variant, places[0].how())


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
    place = _place_of(path.resolve()) if path.name == "scores.csv" else None
    if place:
        run = RunFolder(place.run)
        return _from_folds(run.path.parent, place.name, [run], root=run.path.parent)
    return Model(model_name(path.resolve().parent.name if path.name == "scores.csv" else path.stem), read_scores(path))


def _place_of(scores: Path) -> VariantFolder | None:
    """The variant of a run that a file has the scores of; None if it is of none."""
    runs = [RunFolder(folder) for folder in scores.parents if folder.name.startswith("fold_")]
    found = [variant for run in runs[:1] for variant in run.variants() if variant.scores == scores]
    return found[0] if found else None


def pick(scores: pd.DataFrame, metric: str, region: str, *, without: Iterable[str] = ()) -> pd.Series:
    """Values of one metric in one region, by case, without the cases named."""
    rows = scores[(scores["region"] == region) & ~scores["case"].isin(frozenset(without))]
    return rows.set_index("case")[metric].astype(float)


def marked(models: Sequence[Model], text: str) -> str:
    """Add to a title that the data are synthetic, if those of any model are."""
    return f"{text} ({SYNTHETIC})" if any(model.synthetic for model in models) else text


def cases_text(models: Sequence[Model]) -> str:
    """How many cases the models are scored on: ``n = 99 cases``, ``n = 6 to 30 cases``."""
    numbers = sorted({model.scores["case"].nunique() for model in models})
    return f"n = {numbers[0]} cases" if len(numbers) == 1 else f"n = {numbers[0]} to {numbers[-1]} cases"
