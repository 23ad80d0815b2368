"""Where the cases are that models are scored on: their images, labels and label maps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pedseg.cases import Case, find_cases
from pedseg.errors import PedsegError
from pedseg.labels import LabelConvention, get_convention
from pedseg.reporting.rows import Model
from pedseg.settings.cohorts import Cohort
from pedseg.settings.run import RunSettings


@dataclass(frozen=True, slots=True)
class CaseFolders:
    """Folders of images and labels; None for where the runs say. Each is searched once.

    Attributes:
        images: folder of cases in any layout.
        labels: folder of cases, if the labels are not beside the images.
    """

    images: Path | None = None
    labels: Path | None = None
    _found: dict[tuple[Path, bool], Mapping[str, Case]] = field(default_factory=dict, compare=False, repr=False)

    def images_of(self, model: Model) -> Path | None:
        """Where the images of the cases that a model is scored on are, if anybody says."""
        cohort = _evaluated_cohort(model)
        return self.images or (cohort.folder if cohort else None)

    def cases_of(self, model: Model) -> Mapping[str, Case]:
        """Cases that a model is scored on, by id, with their labels where there are any.

        Raises:
            PedsegError: their folder holds none.
        """
        cohort, images = _evaluated_cohort(model), self.images_of(model)
        if images is None:
            return {}
        key = images, cohort is None or cohort.labelled
        if key not in self._found:
            self._found[key] = _find(images, self.labels, labelled=key[1])
        return self._found[key]


def predictions_of(model: Model) -> dict[str, Path]:
    """Label maps of a model by case."""
    files = [file for place in model.places for file in place.path.glob("[!.]*.nii.gz")]
    return {file.name.removesuffix(".nii.gz"): file for file in files}


def convention_of(model: Model) -> LabelConvention:
    """Of the labels of a model's cases and of its predictions: as train writes these."""
    cohort = _evaluated_cohort(model)
    setting = cohort.convention if cohort else "brats2023"
    return get_convention("brats2023" if setting == "auto" else setting)


def _find(images: Path, labels: Path | None, *, labelled: bool) -> dict[str, Case]:
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
