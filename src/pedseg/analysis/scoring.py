"""Label maps against labels: files in, one row per case and region out."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import track

from pedseg.cases import Case, find_cases
from pedseg.errors import PedsegError, Problem, ProblemsError
from pedseg.files import atomic_path
from pedseg.imaging.nifti import Volume, integer_label, read_volume
from pedseg.labels import LabelConvention, regions_from_labels
from pedseg.metrics import score_case

AFFINE_TOLERANCE_MM = 1e-2
LABEL_SUFFIXES = ("-seg", "_seg", "")
ENDINGS = (".nii.gz", ".nii")

LabelledCase = tuple[str, Path]  # id and label file


def score_cases(
    predictions: Path,
    cases: Sequence[Case],
    *,
    output: Path,
    convention: LabelConvention,
    prediction_convention: LabelConvention | None = None,
    workers: int | None = None,
) -> pd.DataFrame:
    """Score ``<predictions>/<case id>.nii.gz`` of every case with a label and write the rows to `output`.

    Args:
        predictions: folder of label maps.
        cases: what to score; each with its label.
        output: CSV to write, atomically; columns are those of `pedseg.metrics.RegionScore` after ``case``.
        convention: voxel labels of the labels.
        prediction_convention: of the predictions; the same if None.
        workers: processes; None for one per core, 1 for this process.

    Returns:
        The rows, one per case and region.

    Raises:
        ProblemsError: label maps are missing or cannot be used; nothing is written.
    """
    pairs = [(case.id, case.label) for case in cases if case.label]
    both = (prediction_convention or convention, convention)
    return _score(predictions, pairs, output=output, conventions=both, workers=workers)


def score_folder(
    predictions: Path,
    labels: Path,
    *,
    output: Path,
    convention: LabelConvention,
    prediction_convention: LabelConvention | None = None,
    workers: int | None = None,
) -> pd.DataFrame:
    """Score a folder of label maps against a folder of labels: cases in any layout, or files named by case id.

    Labels without a prediction of that name are left out if there are others with one.

    Raises:
        PedsegError: as `score_cases`, or no label belongs to any prediction.
    """
    found = {name: path for name, path in _find_labels(labels) if _find(predictions, name)}
    names = {_stem(path) for path in _label_maps(predictions)}
    unmatched = sorted(names - set(found))
    if not found or unmatched:
        problems = [
            Problem(n, f"{n}.nii.gz", f"no label in {labels}", "add the label, or move it away") for n in unmatched
        ]
        raise ProblemsError(f"{predictions}: {len(unmatched)} of {len(names)} label maps have no label", problems)
    pairs = sorted(found.items())
    both = (prediction_convention or convention, convention)
    return _score(predictions, pairs, output=output, conventions=both, workers=workers)


def _score(
    predictions: Path,
    pairs: Sequence[LabelledCase],
    *,
    output: Path,
    conventions: tuple[LabelConvention, LabelConvention],
    workers: int | None,
) -> pd.DataFrame:
    missing = [
        Problem(name, f"{name}.nii.gz", f"is not in {predictions}", "predict the case, or leave its label out")
        for name, _ in pairs
        if not _find(predictions, name)
    ]
    if missing:
        raise ProblemsError(f"{len(missing)} of {len(pairs)} cases have no label map:", missing)
    job = partial(_score_pair, predictions=predictions, conventions=conventions)
    results = list(_run(job, pairs, workers or min(os.cpu_count() or 1, len(pairs))))
    problems = [result for result in results if isinstance(result, Problem)]
    if problems:
        raise ProblemsError(f"{len(problems)} of {len(pairs)} cases cannot be scored:", problems)
    table = pd.DataFrame([row for rows in results if not isinstance(rows, Problem) for row in rows])
    with atomic_path(output) as temporary:
        table.to_csv(temporary, index=False)
    return table


def _run(job: Any, pairs: Sequence[LabelledCase], workers: int) -> Iterator[list[dict[str, Any]] | Problem]:  # noqa: ANN401
    if workers <= 1 or len(pairs) < workers * 4:  # starting processes costs more than a few cases
        yield from track(map(job, pairs), description="scoring", total=len(pairs))
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from track(pool.map(job, pairs), description="scoring", total=len(pairs))


def _score_pair(
    pair: LabelledCase, *, predictions: Path, conventions: tuple[LabelConvention, LabelConvention]
) -> list[dict[str, Any]] | Problem:
    """Rows of one case, or what is wrong with it."""
    name, label_path = pair
    prediction_path = _find(predictions, name)
    assert prediction_path is not None  # noqa: S101  (checked for all cases before)
    try:
        label, prediction = read_volume(label_path), read_volume(prediction_path)
        _check_grid(prediction, label, prediction_path, label_path)
        masks = (
            _regions(prediction, prediction_path, conventions[0]),
            _regions(label, label_path, conventions[1]),
        )
    except PedsegError as error:
        return Problem(name, prediction_path.name, str(error), "mend or remove the file")
    return [{"case": name, **asdict(score)} for score in score_case(*masks, spacing_mm=label.spacing_mm)]


def _check_grid(prediction: Volume, label: Volume, prediction_path: Path, label_path: Path) -> None:
    if prediction.data.shape != label.data.shape:
        shapes = f"{prediction.data.shape[::-1]} against {label.data.shape[::-1]}"
        raise PedsegError(f"{prediction_path}: has another shape than {label_path} ({shapes})")
    if not np.allclose(prediction.affine, label.affine, rtol=0, atol=AFFINE_TOLERANCE_MM):
        raise PedsegError(f"{prediction_path}: has another affine than {label_path}")


def _regions(volume: Volume, path: Path, convention: LabelConvention) -> NDArray[np.bool_]:
    label = integer_label(volume.data, path)
    foreign = sorted(set(np.unique(label).tolist()) - convention.values)
    if foreign:
        raise PedsegError(f"{path}: holds label {foreign[0]}, which {convention} lacks")
    return regions_from_labels(label, convention)


def _label_maps(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*.nii*") if p.name.endswith(ENDINGS) and not p.name.startswith("."))


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _find(folder: Path, name: str) -> Path | None:
    """Label map of a case, as .nii.gz or .nii."""
    return next((folder / f"{name}{ending}" for ending in ENDINGS if (folder / f"{name}{ending}").exists()), None)


def _find_labels(folder: Path) -> list[LabelledCase]:
    """Ids and label files of a folder: label maps by name, or cases in one of the known layouts."""
    if not folder.is_dir():
        raise PedsegError(f"{folder}: no such folder of labels")
    flat = _label_maps(folder)
    if flat:
        return [(next(_stem(p).removesuffix(s) for s in LABEL_SUFFIXES if _stem(p).endswith(s)), p) for p in flat]
    return [(case.id, case.label) for case in find_cases(folder, cohort="labels", labelled=True).cases if case.label]
