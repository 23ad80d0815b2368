"""Which cases the viewer of a report shows."""

from collections.abc import Sequence

import numpy as np

from pedseg.cases import Case
from pedseg.pages.viewing import ViewedCase, Viewer
from pedseg.pages.volumes import view_case
from pedseg.reporting.case_folders import CaseFolders, convention_of, predictions_of
from pedseg.reporting.paper import REGIONS
from pedseg.reporting.rows import Model, marked, pick

CAPTION = (
    "Cases spread over the ranks of {model} by mean Dice, from its best to its worst, of {number} that the models have "
    "in common. Sequences in 256 greys, cut to the brain."
)


def viewer_of(models: Sequence[Model], first: str, folders: CaseFolders, *, most: int) -> Viewer | None:
    """The viewer of a report; None where there are no label maps with images.

    Args:
        models: of the report, whose predictions are shown.
        first: name of the model whose ranks choose the cases.
        folders: of images and labels.
        most: cases.

    Raises:
        PedsegError: a file cannot be read, or a label map is on another grid than its images.
    """
    ranked = next(model for model in models if model.name == first)
    images = folders.images_of(ranked)
    if most < 1 or images is None or not images.is_dir():
        return None
    cases = folders.cases_of(ranked)
    predicted = predictions_of(ranked)
    shown = [ranked, *(model for model in models if model is not ranked and model.cohort == ranked.cohort)]
    usable = [case for case in _by_rank(ranked) if case in cases and case in predicted]
    everywhere = frozenset.intersection(*(frozenset(predictions_of(model)) for model in shown))
    usable = [case for case in usable if case in everywhere] or usable
    chosen = dict.fromkeys(np.linspace(0, len(usable) - 1, min(most, len(usable))).round().astype(int).tolist())
    notes = {place: f"rank {place + 1} of {len(usable)} by {first}" for place in chosen}
    viewed = [_view(cases[usable[place]], shown, note=note) for place, note in notes.items()]
    caption = marked(models, CAPTION.format(model=first, number=len(usable)))
    return Viewer(caption, viewed) if viewed else None


def _by_rank(model: Model) -> list[str]:
    ranked = model.scores.groupby("case")["dice"].mean().dropna().sort_values(ascending=False, kind="stable")
    return [str(case) for case in ranked.index]


def _view(case: Case, models: Sequence[Model], *, note: str) -> ViewedCase:
    """A case with the predictions of all models that have predicted it; the first has the convention."""
    predictions = {model.name: predictions_of(model) for model in models}
    shown = [model for model in models if case.id in predictions[model.name]]
    return view_case(
        case,
        {model.name: predictions[model.name][case.id] for model in shown},
        convention=convention_of(models[0]),
        note=note,
        scores={model.name: _score(model, case.id) for model in shown},
    )


def _score(model: Model, case: str) -> str:
    values = [pick(model.scores, "dice", region).get(case, np.nan) for region in REGIONS]
    told = ", ".join(f"{region.upper()} {value:.3f}" for region, value in zip(REGIONS, values, strict=True))
    return f"Dice of {model.name}: {told}"
