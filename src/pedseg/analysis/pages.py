"""The report as a Markdown page with its figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from pedseg.analysis.figures import box_plots, save, training_curves
from pedseg.analysis.models import Model
from pedseg.analysis.paper import TABLES
from pedseg.analysis.slices import slice_figure
from pedseg.analysis.tables import beside_paper, to_markdown
from pedseg.cases import Case, find_cases
from pedseg.errors import PedsegError
from pedseg.files import write_text
from pedseg.labels import get_convention

SYNTHETIC = "SYNTHETIC data"
CAPTIONS = {
    "scores": "Dice and HD95 per case; box: quartiles, triangle: mean",
    "curves": "training curves",
    "slices": "best, median and worst case by mean Dice; outlines: WT green, TC orange, ET blue",
}


def write_figures(models: Sequence[Model], output: Path, *, images: Path | None) -> dict[Path, str]:
    """Write every figure into ``<output>/figures``.

    Args:
        models: rows of the table.
        output: folder of the report.
        images: folder of the evaluated cases; None to use the one that the runs name.

    Returns:
        Caption of each file.
    """
    folder = output / "figures"
    captions = {folder / "scores.png": CAPTIONS["scores"]}
    save(box_plots(models, title=_mark(models, "Scores by model and region")), folder / "scores.png")
    for model in models:
        stem = model.name.replace("*", "_star").replace("/", "_")
        for run in model.runs[:1]:
            if run.metrics.exists():
                path = folder / f"curves_{stem}.png"
                save(training_curves(run, title=_mark([model], f"{model.name}, {run.path.name}")), path)
                captions[path] = f"{model.name}: {CAPTIONS['curves']}"
        captions |= _write_slices(model, folder / f"slices_{stem}.png", images)
    return captions


def _write_slices(model: Model, path: Path, images: Path | None) -> dict[Path, str]:
    cohort = _evaluated_cohort(model)
    folder = images or (Path(cohort["folder"]) if cohort.get("folder") else None)
    if not model.runs or folder is None or not folder.is_dir():
        return {}
    found = {case.id: case for case in find_cases(folder, cohort="ped", labelled=False).cases}
    found |= {case.id: case for case in _labelled(folder)}
    predictions = {
        file.name.removesuffix(".nii.gz"): file for run in model.runs for file in run.predictions.glob("*.nii.gz")
    }
    setting = cohort.get("convention", "brats2023")
    convention = get_convention("brats2023" if setting == "auto" else setting)
    title = _mark([model], model.name)
    figure = slice_figure(model, found, predictions, convention=convention, title=title)
    if figure is None:
        return {}
    save(figure, path)
    return {path: f"{model.name}: {CAPTIONS['slices']}"}


def _labelled(folder: Path) -> tuple[Case, ...]:
    try:
        return find_cases(folder, cohort="ped", labelled=True).cases
    except PedsegError:  # a folder of images alone
        return ()


def _evaluated_cohort(model: Model) -> Mapping[str, str]:
    data = model.config.get("data", {})
    cohort: Mapping[str, str] = data.get("cohorts", {}).get(data.get("evaluation"), {})
    return cohort


def write_page(
    models: Sequence[Model],
    output: Path,
    *,
    tables: Mapping[int, pd.DataFrame],
    statistics: pd.DataFrame,
    figures: Mapping[Path, str],
    removed: int,
) -> Path:
    """Write ``report.md`` and return its path."""
    synthetic = any(model.synthetic for model in models)
    parts = [f"# {_mark(models, 'Models on the paediatric cases')}", _coverage(models)]
    titles = {2: "All cases", 3: f"Without the {removed} cases with hardly any ET"}
    for number, table in tables.items():
        parts += [f"## Table {number}: {titles[number]}", to_markdown(table)]
        if not synthetic and any(name in TABLES[number] for name in table.index):
            parts += ["Beside the paper (what differs is in italics):", beside_paper(table, number=number)]
    if len(statistics):
        parts += ["## Paired comparisons", _statistics(statistics)]
    parts.append("## Figures")
    for path, caption in figures.items():
        text = f"{SYNTHETIC}. {caption}" if synthetic else caption
        parts.append(f"![{text}](figures/{path.name.replace(' ', '%20')})\n\n*{text}*")
    page = output / "report.md"
    write_text(page, "\n\n".join(parts) + "\n")
    return page


def _mark(models: Sequence[Model], title: str) -> str:
    return f"{title} ({SYNTHETIC})" if any(model.synthetic for model in models) else title


def _coverage(models: Sequence[Model]) -> str:
    """Say what each row rests on, and warn if the rows rest on different cases."""
    lines = [f"- {model.name}: {model.coverage}" for model in models]
    if len({model.cases for model in models}) > 1:
        lines.append("\n**The models are scored on different cases**; compare rows with care, or see the paired tests.")
    return "\n".join(lines)


def _statistics(table: pd.DataFrame) -> str:
    """Differences of Dice with intervals and corrected p-values, as Markdown."""
    lines = [
        "Mean difference (first − second) over common cases, 95 % bootstrap interval, and p-values of the paired "
        "t-test (raw, and corrected by Holm over all rows) and of equivalence (TOST). A large p of the t-test is no "
        "proof of equality; a small p of the TOST is evidence for it, within the margin (Dice 0.05, HD95 2 mm).",
        "",
        "| first | second | metric | region | cases | difference | interval | p | p Holm | p TOST |",
        "|---|---|---|---|---:|---:|---|---:|---:|---:|",
    ]
    for row in table.to_dict("records"):
        names = " | ".join(str(row[k]).replace("*", r"\*") for k in ("first", "second", "metric", "region", "cases"))
        interval = f"{row['low']:.3f} … {row['high']:.3f}"
        values = (
            f"{row['difference']:.3f} | {interval} | {row['p_t']:.3f} | {row['p_t_holm']:.3f} | {row['p_tost']:.3f}"
        )
        lines.append(f"| {names} | {values} |")
    return "\n".join(lines)
