"""Label maps against labels: files in, one row per case and region out."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from pedseg.cases import Case
from pedseg.errors import PedsegError, Problem, ProblemsError
from pedseg.evaluation.pairing import Pair, pair_cases, pair_folder
from pedseg.files import write_text
from pedseg.hardware import cores
from pedseg.imaging.geometry import onto, shift_mm
from pedseg.imaging.nifti import Volume, integer_label, read_volume
from pedseg.labels import LabelConvention, Region, masks_from_labels
from pedseg.metrics import check_rules, score_case
from pedseg.metrics.overlap import bounding_box
from pedseg.sinks import csv_text, show_visibly

if TYPE_CHECKING:  # the processes that score have no table
    import pandas as pd

CASES_WORTH_A_PROCESS = 4  # starting one takes as long as scoring a few cases
MOST_PROCESSES = 16  # each holds a case, about 200 MB

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Conventions:
    """Voxel labels of the two sides."""

    prediction: LabelConvention
    label: LabelConvention


def score_cases(
    predictions: Path,
    cases: Sequence[Case],
    *,
    output: Path,
    convention: LabelConvention,
    prediction_convention: LabelConvention | None = None,
    definition: str = "brats2023",
    tolerance_mm: float | None = None,
    workers: int | None = None,
) -> "pd.DataFrame":
    """Score ``<predictions>/<case id>.nii.gz`` of every case against its label and write the rows to `output`.

    Args:
        predictions: folder of label maps.
        cases: what to score; each has a label.
        output: CSV to write, atomically; columns are those of `pedseg.metrics.RegionScore` after ``case``.
        convention: voxel labels of the labels.
        prediction_convention: of the predictions; the same if None.
        definition: name of the definition of the metrics, see `pedseg.metrics.definitions`; a column of the rows.
        tolerance_mm: of the surface Dice; None for the definition's.
        workers: processes; None for one per core (fewer for few cases), 1 for this process.

    Returns:
        The rows, one per case and region.

    Raises:
        PedsegError: the definition is unknown.
        ProblemsError: label maps are missing (told before anything is computed) or cannot be scored. Nothing is written
            then: a table without some of its cases would pass for a whole one.
    """
    pairs = pair_cases(predictions, cases)
    conventions = Conventions(prediction_convention or convention, convention)
    result = score_pairs(pairs, conventions, definition=definition, tolerance_mm=tolerance_mm, workers=workers)
    return _write_whole(*result, output)


def score_folder(
    predictions: Path,
    labels: Path,
    *,
    output: Path,
    convention: LabelConvention,
    prediction_convention: LabelConvention | None = None,
    definition: str = "brats2023",
    tolerance_mm: float | None = None,
    subset: bool = False,
    workers: int | None = None,
) -> "pd.DataFrame":
    """Score a folder of label maps against a folder of labels, see `pair_folder`; otherwise as `score_cases`."""
    pairs = pair_folder(predictions, labels, subset=subset)
    conventions = Conventions(prediction_convention or convention, convention)
    result = score_pairs(pairs, conventions, definition=definition, tolerance_mm=tolerance_mm, workers=workers)
    return _write_whole(*result, output)


def score_pairs(
    pairs: Sequence[Pair],
    conventions: Conventions,
    *,
    definition: str = "brats2023",
    tolerance_mm: float | None = None,
    workers: int | None = None,
) -> "tuple[pd.DataFrame, list[Problem]]":
    """Score pairs of files; arguments as of `score_cases`.

    Returns:
        The rows of the cases that could be scored, and what was wrong with the others.

    Raises:
        PedsegError: the definition is unknown, the tolerance negative, or a worker process was ended from outside.
    """
    import pandas as pd  # noqa: PLC0415

    check_rules(definition, tolerance_mm)
    job = partial(_score_pair, conventions=conventions, definition=definition, tolerance_mm=tolerance_mm)
    results = list(_results(pairs, job, workers))
    rows = [row for result in results if not isinstance(result, Problem) for row in result]
    return pd.DataFrame(rows), [result for result in results if isinstance(result, Problem)]


def write_scores(table: "pd.DataFrame", output: Path) -> None:
    """Write rows of scores as CSV, atomically."""
    write_text(output, csv_text(table))


def _write_whole(table: "pd.DataFrame", problems: Sequence[Problem], output: Path) -> "pd.DataFrame":
    if problems:
        total = len(problems) + (table["case"].nunique() if len(table) else 0)
        raise ProblemsError(f"{len(problems)} of {total} cases cannot be scored:", problems)
    write_scores(table, output)
    return table


def _results(
    pairs: Sequence[Pair], job: Callable[[Pair], Rows | Problem], workers: int | None
) -> Iterator[Rows | Problem]:
    """Rows or problem of each pair, in their order, with a progress bar where somebody looks."""
    console = Console(stderr=True)
    show = partial(
        track, description="scoring", total=len(pairs), console=console, disable=not console.is_terminal, transient=True
    )
    processes = workers or min(cores(), MOST_PROCESSES, len(pairs) // CASES_WORTH_A_PROCESS)
    if processes <= 1:
        yield from show(map(job, pairs))
        return
    try:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=show_visibly) as pool:
            yield from show(pool.map(job, pairs))
    except BrokenProcessPool as error:
        raise PedsegError("a scoring process was ended from outside (memory?); use fewer workers") from error


def _score_pair(pair: Pair, *, conventions: Conventions, definition: str, tolerance_mm: float | None) -> Rows | Problem:
    """Rows of one case, or what is wrong with it."""
    try:
        prediction, label = read_pair(pair)
        predicted = _masks(prediction, pair.prediction, conventions.prediction)[: len(Region)]
        true = _masks(label, pair.label, conventions.label)
    except PedsegError as error:
        return problem_of(pair, error)
    scores = score_case(predicted, true, spacing_mm=label.spacing_mm, definition=definition, tolerance_mm=tolerance_mm)
    return [{"case": pair.case, **asdict(score)} for score in scores]


def problem_of(pair: Pair, error: Exception) -> Problem:
    """What keeps a case from being scored."""
    return Problem(pair.case, pair.prediction.name, str(error) or type(error).__name__, "mend the file and score again")


def read_pair(pair: Pair) -> tuple[Volume, Volume]:
    """Read prediction and label of a case; a prediction whose voxels are stored in other axes is turned.

    Raises:
        PedsegError: one cannot be read, or they do not share a grid.
    """
    label, prediction = read_volume(pair.label), read_volume(pair.prediction)
    turned = onto(prediction, label)
    if turned is None:
        raise PedsegError(
            f"{pair.prediction}: {_difference(prediction, label)} than {pair.label}; bring the label map to the grid "
            "of the label (nearest neighbour)"
        )
    return turned, label


def _difference(prediction: Volume, label: Volume) -> str:
    if prediction.data.shape != label.data.shape:
        return f"has another shape ({prediction.data.shape[::-1]} against {label.data.shape[::-1]})"
    return f"has another affine (corners lie up to {shift_mm(prediction, label):.3g} mm apart)"


def _masks(volume: Volume, path: Path, convention: LabelConvention) -> NDArray[np.bool_]:
    """Masks of a label map (Z, Y, X), as `masks_from_labels` makes them.

    Only the box around the labels is looked at closely, a hundredth of most volumes.
    """
    label = integer_label(volume.data, path)
    box = bounding_box(label != 0)
    if box is None:
        return np.zeros((len(Region), *label.shape), dtype=bool)
    foreign = sorted(set(np.unique(label[box]).tolist()) - convention.values)
    if foreign:
        shown = ", ".join(map(str, foreign[:5]))
        raise PedsegError(f"{path}: holds label {shown}, which {convention} lacks; give the convention it is in")
    inner = masks_from_labels(label[box], convention)
    masks = np.zeros((len(inner), *label.shape), dtype=bool)
    masks[:, *box] = inner
    return masks
