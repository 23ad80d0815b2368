"""Which pictures a report has, and their captions."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

from pedseg.pages.document import Picture
from pedseg.reporting.adversary import watch
from pedseg.reporting.case_folders import CaseFolders, convention_of, predictions_of
from pedseg.reporting.figures.adversary import adversary_figure
from pedseg.reporting.figures.comparison import comparison_figure, models_to_compare
from pedseg.reporting.figures.curves import draw_curves_of
from pedseg.reporting.figures.sensitivity import sensitivity_figure
from pedseg.reporting.figures.sizes import size_figure
from pedseg.reporting.figures.slices import CAPTION as SLICES
from pedseg.reporting.figures.slices import slice_figure
from pedseg.reporting.figures.style import TITLES, box_plots, save
from pedseg.reporting.names import legend_of, short_names
from pedseg.reporting.rows import Model, cases_text, marked
from pedseg.reporting.sensitivity import CAPTION as SENSITIVITY
from pedseg.reporting.sensitivity import assumed_shares
from pedseg.reporting.statistics import compare_models
from pedseg.runs import BETWEEN, RunFolder

LINES = "Lines in the boxes are medians, boxes quartiles, diamonds means, dots cases."


@dataclass(slots=True)
class Pictures:
    """The pictures of a report, and why others are not there.

    Attributes:
        scores: distributions of scores and sizes.
        training: curves.
        adversaries: their health.
        cases: slices.
        sweeps: heat maps.
        notes: sentences about what could not be drawn.
        health: what the curves of each adapting run say about its adversary.
    """

    scores: list[Picture] = field(default_factory=list)
    training: list[Picture] = field(default_factory=list)
    adversaries: list[Picture] = field(default_factory=list)
    cases: list[Picture] = field(default_factory=list)
    sweeps: list[Picture] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[Picture]:
        """In the order of the report."""
        return [*self.scores, *self.training, *self.adversaries, *self.cases, *self.sweeps]


def file_name(model: Model) -> str:
    """Part of a file name that stands for a model: ``3*`` gives ``3_star``, ``uda/seed=1`` gives ``uda_seed=1``."""
    kept = model.name.replace("*", "_star").replace(BETWEEN, "_")
    return "".join(c if c.isalnum() or c in "._=+-" else "_" for c in kept)


def draw_pictures(
    models: Sequence[Model],
    output: Path,
    *,
    folders: CaseFolders,
    sizes: pd.DataFrame,
    small: frozenset[str],
    min_et_mm3: float,
) -> Pictures:
    """Write every picture into the folder `output`.

    Args:
        models: rows of the table.
        output: folder for the files.
        folders: of images and labels, for the slices.
        sizes: of the tissues by case; may be empty.
        small: cases that Table 3 leaves out.
        min_et_mm3: limit that makes a case one of these.

    Raises:
        PedsegError: a folder that was given holds no cases, or a file cannot be read.
    """
    pictures = Pictures()
    pictures.scores += _distributions(models, output, sizes=sizes, small=small, min_et_mm3=min_et_mm3)
    trained: set[RunFolder] = set()  # whose training is drawn; the variants of a run share it
    for model in models:
        if not trained.issuperset(model.runs):
            pictures.training += _curves(model, output)
            pictures.adversaries += _adversary(model, output, pictures.health)
        trained.update(model.runs)
        pictures.cases += _slices(model, output, folders, pictures.notes)
    return pictures


def _distributions(
    models: Sequence[Model], output: Path, *, sizes: pd.DataFrame, small: frozenset[str], min_et_mm3: float
) -> Iterator[Picture]:
    names = short_names([model.name for model in models])
    yield save(
        box_plots(models, names=names, title=marked(models, "Scores by model and region")),
        output / "scores",
        caption=marked(
            models,
            f"Dice and HD95 of every model, {cases_text(models)}. {LINES} HD95 is on a logarithmic scale beyond 10 mm."
            f"{legend_of(names)}",
        ),
        data=scores_of(models),
    )
    chosen = models_to_compare(models)
    if len(chosen) > 1:
        yield from _comparison(chosen, output / "comparison", small=small, min_et_mm3=min_et_mm3)
    if len(sizes):
        yield save(
            size_figure(sizes, below_mm3=min_et_mm3, title=marked(models, "Sizes of the tumours' tissues")),
            output / "sizes",
            caption=marked(
                models,
                f"Volumes of ET, NC and ED in the labels of {len(sizes)} cases; those without the tissue are in the "
                "legend.",
            ),
            data=sizes.reset_index(names="case"),
        )
    if len(table := assumed_shares(models)):
        figure = sensitivity_figure(table, title=marked(models, "Other shares than the one assumed"))
        yield save(figure, output / "sensitivity", caption=marked(models, SENSITIVITY), data=table)


def scores_of(models: Sequence[Model]) -> pd.DataFrame:
    """Scores of all models, a row per model, case and region."""
    columns = ["case", "region", *TITLES]
    return pd.concat([model.scores[columns].assign(model=model.name) for model in models])[["model", *columns]]


def _comparison(models: Sequence[Model], path: Path, *, small: frozenset[str], min_et_mm3: float) -> Iterator[Picture]:
    table = compare_models(models, without=small)
    if not len(table):  # too few cases in common
        return
    names = short_names([model.name for model in models])
    kept = f"Without the {len(small)} cases with ET < {min_et_mm3:g} mm³" if small else "All cases"
    number = " to ".join(str(n) for n in sorted({int(table["cases"].min()), int(table["cases"].max())}))
    tests = (
        "Brackets: p < 0.05 of the paired t-test, corrected by Holm over all "
        f"{len(table)} comparisons of these models, of {number} cases each"
    )
    yield save(
        comparison_figure(models, table, without=small, names=names, title=marked(models, kept)),
        path,
        caption=marked(models, f"{kept}: the models in pairs. {LINES} {tests}.{legend_of(names)}"),
        data=table,
    )


def _curves(model: Model, output: Path) -> Iterator[Picture]:
    for run in model.runs:
        if run.metrics.exists():
            fold = run.path.resolve().name
            title = marked([model], f"{model.name}, {fold}")
            yield draw_curves_of(run, output / f"curves_{file_name(model)}_{fold}", title=title)


def _adversary(model: Model, output: Path, health: list[str]) -> Iterator[Picture]:
    runs = [run for run in map(watch, model.runs) if run is not None]
    if not runs:
        return
    for run in runs:
        name = f"{model.name}, {run.name}"
        health += [f"{name}, epoch {f.epoch + 1}: {f.rule}: {f.text}." for f in run.findings]
        health += [] if run.findings else [f"{name}: nothing found."]
    folds = f"; thin lines are the {len(runs)} folds, thick ones their mean" if len(runs) > 1 else ""
    text = (
        "domain accuracy and α, λ·L_d, norm of the reversed gradient over that of all other terms where they meet, and "
        f"source validation Dice{folds}. Dash-dotted: where a warning came. An accuracy of 0.5 in both domains may be "
        "adaptation; 0 in one and 1 in the other is a collapse"
    )
    yield save(
        adversary_figure(runs, title=marked([model], f"Adversary of {model.name}")),
        output / f"adversary_{file_name(model)}",
        caption=f"Adversary of {marked([model], model.name)}: {text}.",
        data=pd.DataFrame(
            [{"run": run.name, **asdict(epoch), "number": epoch.number + 1} for run in runs for epoch in run.epochs]
        ).rename(columns={"number": "epoch"}),
    )


def _slices(model: Model, output: Path, folders: CaseFolders, notes: list[str]) -> Iterator[Picture]:
    predictions = predictions_of(model)
    if not predictions:
        return
    images = folders.images_of(model)
    if images is None or (not images.exists() and folders.images is None):
        notes.append(f"No slices of {model.name}: its images are not at {images}; give them as --images DIR.")
        return
    figure = slice_figure(
        model,
        folders.cases_of(model),
        predictions,
        convention=convention_of(model),
        title=marked([model], f"Best, median and worst case of {model.name}"),
    )
    if figure is None:
        notes.append(f"No slices of {model.name}: none of its best, median and worst case is in {images}.")
        return
    caption = (
        f"Best, median and worst case of {marked([model], model.name)} by mean Dice of its "
        f"{model.scores['case'].nunique()} cases: {SLICES}"
    )
    yield save(figure, output / f"slices_{file_name(model)}", caption=caption)
