"""Which pictures a report has, and their captions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pandas as pd

from pedseg.cases import Case, find_cases
from pedseg.errors import PedsegError
from pedseg.labels import get_convention
from pedseg.reporting.adversary import watch
from pedseg.reporting.figures.adversary import adversary_figure
from pedseg.reporting.figures.comparison import comparison_figure, models_to_compare
from pedseg.reporting.figures.curves import training_curves
from pedseg.reporting.figures.sizes import size_figure
from pedseg.reporting.figures.slices import slice_figure
from pedseg.reporting.figures.style import box_plots, save
from pedseg.reporting.rows import Model, marked
from pedseg.reporting.statistics import compare_models
from pedseg.reporting.tables import escape
from pedseg.runs import BETWEEN, RunFolder
from pedseg.settings.cohorts import Cohort
from pedseg.settings.run import RunSettings

Find = Callable[[Path, Path | None, bool], Mapping[str, Case]]  # images, labels, whether labelled → cases by id
LINES = "Lines in the boxes are medians, boxes quartiles, diamonds means, dots cases."


@dataclass(slots=True)
class Pictures:
    """Files and captions of the pictures, and why others are not there.

    Attributes:
        captions: caption of each file, in the order of the report.
        notes: sentences about what could not be drawn.
        health: what the curves of each adapting run say about its adversary.
    """

    captions: dict[Path, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CaseFolders:
    """Where the images and labels of the evaluated cases are; None for where the runs say.

    Attributes:
        images: folder of cases in any layout.
        labels: folder of cases, if the labels are not beside the images.
    """

    images: Path | None = None
    labels: Path | None = None


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
    captions = pictures.captions
    path = save(box_plots(models, title=marked(models, "Scores by model and region")), output / "scores.png")
    captions[path] = f"Dice and HD95 of every model. {LINES} HD95 is on a logarithmic scale beyond 10 mm."
    chosen = models_to_compare(models)
    if len(chosen) > 1:
        captions |= _comparison(chosen, output / "comparison.png", small=small, min_et_mm3=min_et_mm3)
    if len(sizes):
        title = marked(models, "Sizes of the tumours' tissues")
        path = save(size_figure(sizes, below_mm3=min_et_mm3, title=title), output / "sizes.png")
        captions[path] = "Volumes of ET, NC and ED in the labels; cases without the tissue are counted in the legend."
    find = cache(_find)  # models share the folders of their cases
    trained: set[RunFolder] = set()  # whose training is drawn; the variants of a run share it
    for model in models:
        if not trained.issuperset(model.runs):
            captions |= _curves(model, output)
            captions |= _adversary(model, output / f"adversary_{file_name(model)}.png", pictures.health)
        trained.update(model.runs)
        captions |= _slices(model, output / f"slices_{file_name(model)}.png", folders, pictures.notes, find)
    return pictures


def _comparison(models: Sequence[Model], path: Path, *, small: frozenset[str], min_et_mm3: float) -> Mapping[Path, str]:
    table = compare_models(models, without=small)
    if not len(table):  # too few cases in common
        return {}
    kept = f"Without the {len(small)} cases with ET < {min_et_mm3:g} mm³" if small else "All cases"
    save(comparison_figure(models, table, without=small, title=marked(models, kept)), path)
    tests = "Brackets: paired t-test, uncorrected, * p < 0.05, ** p < 0.01, *** p < 0.001"
    return {path: f"{kept}: the models in pairs. {LINES} {tests}.".replace("*", r"\*")}


def _curves(model: Model, output: Path) -> Mapping[Path, str]:
    captions = {}
    for run in model.runs:
        if run.metrics.exists() and run.metrics.stat().st_size:
            title = marked([model], f"{model.name}, {run.path.resolve().name}")
            path = output / f"curves_{file_name(model)}_{run.path.resolve().name}.png"
            captions[save(training_curves(run, title=title), path)] = f"Training of {escape(title)}."
    return captions


def _adversary(model: Model, path: Path, health: list[str]) -> Mapping[Path, str]:
    runs = [run for run in map(watch, model.runs) if run is not None]
    if not runs:
        return {}
    for run in runs:
        name = escape(f"{model.name}, {run.name}")
        health += [f"{name}, epoch {f.epoch + 1}: **{f.rule}**: {escape(f.text)}." for f in run.findings]
        health += [] if run.findings else [f"{name}: nothing found."]
    save(adversary_figure(runs, title=marked([model], f"Adversary of {model.name}")), path)
    folds = f"; thin lines are the {len(runs)} folds, thick ones their mean" if len(runs) > 1 else ""
    text = (
        "domain accuracy and α, λ·L_d, norm of the reversed gradient over that of all other terms where they meet, and "
        f"source validation Dice{folds}. Dash-dotted: where a warning came. An accuracy of 0.5 in both domains may be "
        "adaptation; 0 in one and 1 in the other is a collapse"
    )
    return {path: f"Adversary of {escape(marked([model], model.name))}: {escape(text)}."}


def _slices(model: Model, path: Path, folders: CaseFolders, notes: list[str], find: Find) -> Mapping[Path, str]:
    predictions = {
        file.name.removesuffix(".nii.gz"): file for place in model.places for file in place.path.glob("[!.]*.nii.gz")
    }
    if not predictions:
        return {}
    cohort = _evaluated_cohort(model)
    setting = cohort.convention if cohort else "brats2023"
    images = folders.images or (cohort.folder if cohort else None)
    if images is None or (not images.is_dir() and folders.images is None):
        notes.append(f"No slices of {escape(model.name)}: its images are not at {images}; give them as --images DIR.")
        return {}
    cases = find(images, folders.labels, cohort is None or cohort.labelled)
    figure = slice_figure(
        model,
        cases,
        predictions,
        convention=get_convention("brats2023" if setting == "auto" else setting),  # as train writes its predictions
        title=marked([model], f"Best, median and worst case of {model.name}"),
    )
    if figure is None:
        notes.append(f"No slices of {escape(model.name)}: none of its best, median and worst case is in {images}.")
        return {}
    save(figure, path)
    name = escape(marked([model], model.name))
    return {path: f"Best, median and worst case of {name} by mean Dice: outlines of the label and of the prediction."}


def _find(images: Path, labels: Path | None, labelled: bool) -> dict[str, Case]:
    """Cases by id, with their labels where there are any."""
    found = {case.id: case for case in find_cases(images, cohort="images", labelled=False).cases}
    if not found:
        raise PedsegError(f"{images}: holds no complete case; give a folder of cases with all four modalities")
    if labels is not None:
        return {name: _with_label(case, label) for name, case, label in _pair(found, labels)}
    if labelled:
        found |= {case.id: case for case in find_cases(images, cohort="images", labelled=True).cases}
    return found


def _pair(found: Mapping[str, Case], labels: Path) -> Iterator[tuple[str, Case, Path | None]]:
    if not labels.is_dir():
        raise PedsegError(f"{labels}: no such folder of labels")
    known = {path.name: path for path in sorted(labels.rglob("*.nii.gz"))}
    for name, case in found.items():
        names = (f"{name}.nii.gz", f"{name}-seg.nii.gz", f"{name}_seg.nii.gz")
        yield name, case, next((known[n] for n in names if n in known), None)


def _with_label(case: Case, label: Path | None) -> Case:
    return Case(case.id, case.patient, case.cohort, case.images, label)


def _evaluated_cohort(model: Model) -> Cohort | None:
    return model.settings.data.cohorts[model.cohort] if isinstance(model.settings, RunSettings) else None
