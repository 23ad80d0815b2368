"""A folder of cases in, a folder of label maps out."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from pedseg.cases import Case
from pedseg.cases.label_maps import read_record
from pedseg.errors import PedsegError, Problem, ProblemsError
from pedseg.files import check_room, safe_name, write_json
from pedseg.imaging import (
    PreparedImage,
    restore_probabilities,
    restore_regions,
    write_label_map,
    write_probabilities,
)
from pedseg.inference.predictor import Predictor
from pedseg.inference.settings import RECORD
from pedseg.labels import LabelConvention, labels_from_regions
from pedseg.ownership import is_recorded, own, refuse_foreign
from pedseg.ownership import note as list_files

PROBABILITIES = "probabilities"  # folder beside the label maps
SMALLEST = 10_000  # bytes of a label map of 240 × 240 × 155 voxels that is empty
MISSING = "missing_sequences"  # key of the record: case → sequences
log = logging.getLogger(__name__)

# What may go wrong with one case and leave the others as they are.
CASE_ERRORS = (PedsegError, OSError, MemoryError, torch.OutOfMemoryError)


def predict_cases(
    predictor: Predictor,
    cases: Sequence[Case],
    output: Path,
    *,
    convention: LabelConvention,
    overwrite: bool = False,
    probabilities: bool = False,
) -> list[Problem]:
    """Write ``<output>/<case id>.nii.gz`` for every case, on the case's own grid.

    One case is predicted at a time, while the next one is read and the label map of the one before is written. A case
    that cannot be predicted is reported and the rest go on. Label maps that are there already were made by the same
    networks in the same way (``predictions.json`` tells) and are kept. `overwrite` predicts these cases again whoever
    made their label maps; no other file is touched. If the run is interrupted, the label map that is being written is
    finished first.

    Args:
        predictor: the networks.
        cases: to predict.
        output: folder of the label maps.
        convention: of the labels.
        overwrite: predict cases again that have a label map.
        probabilities: also write ``<output>/probabilities/<case id>.nii.gz`` (`pedseg.imaging.probabilities`); cases
            that lack it are predicted again.

    Returns:
        What went wrong, in the order of the cases.

    Raises:
        PedsegError: `output` holds label maps that were made in another way, or a label map would replace an image.
    """
    paths = {case.id: output / f"{safe_name(case.id)}.nii.gz" for case in cases}
    _protect_images(cases, set(paths.values()))
    record = predictor.record(convention)
    wanted = set(paths.values())
    claim(output, record, wanted, replaced=wanted if overwrite else _of_other_images(cases, paths, output, record))
    _note_missing(cases, output)
    sure = {case.id: output / PROBABILITIES / paths[case.id].name for case in cases}
    waiting = [c for c in cases if not paths[c.id].exists() or (probabilities and not sure[c.id].exists())]
    check_room(output, SMALLEST * len(waiting), what=f"label maps of {len(waiting)} cases")
    _replace_probabilities(output / PROBABILITIES, [sure[case.id] for case in waiting], wanted=probabilities)
    before = len(predictor.adaptations_kept)
    reading = track(_prefetch(predictor, waiting), description="predicting", total=len(waiting))
    with ThreadPoolExecutor(max_workers=1) as pool:
        done: list[Future[list[Problem]]] = []
        for case, prepared in reading:
            also = sure[case.id] if probabilities else None
            finish = _inferred(predictor, case, prepared, convention=convention, path=paths[case.id], also=also)
            if done:
                done[-1].result()  # so that no more than one label map is kept to be written
            done.append(pool.submit(finish))
    problems = [problem for future in done for problem in future.result()]
    if kept := predictor.adaptations_kept[before:]:
        log.info("test-time adaptation: kept for %d of %d cases", sum(kept), len(kept))
    return problems


def _replace_probabilities(folder: Path, paths: Sequence[Path], *, wanted: bool) -> None:
    """Remove those of label maps that will be made anew, and list them if they will be written.

    Raises:
        PedsegError: one is there that pedseg did not write.
    """
    names = [path.name for path in paths]
    refuse_foreign(folder, names)
    for path in paths:
        path.unlink(missing_ok=True)
    if wanted and names:
        list_files(folder, names)


def _inferred(
    predictor: Predictor,
    case: Case,
    prepared: "Future[PreparedImage]",
    *,
    convention: LabelConvention,
    path: Path,
    also: Path | None,
) -> Callable[[], list[Problem]]:
    """Predict a case, and return what writes its label map and then says what went wrong, if anything did.

    Probabilities go to `also`, before the label map, so that a case with a label map lacks nothing.
    """
    try:
        image = prepared.result()
        logits = predictor.infer(image)
    except CASE_ERRORS as error:
        problems = problems_of(case, error)
        return lambda: problems
    geometry = replace(image, raw=np.empty(0, image.raw.dtype))  # all that is still needed; the voxels may go

    def write() -> list[Problem]:
        try:
            if also is not None:
                write_probabilities(also, restore_probabilities(logits, geometry), like=case.images[geometry.grid])
            regions = restore_regions(logits, geometry)
            write_label_map(path, labels_from_regions(regions, convention), like=case.images[geometry.grid])
        except CASE_ERRORS as error:
            return problems_of(case, error)
        return []

    return write


def problems_of(case: Case, error: Exception) -> list[Problem]:
    """What went wrong with a case (one of `CASE_ERRORS`), and what to do."""
    return list(error.problems) if isinstance(error, ProblemsError) else [_problem_of(case, error)]


def _problem_of(case: Case, error: Exception) -> Problem:
    what = str(error) or type(error).__name__
    file = next((image.path.name for image in case.images if image.path.name in what), "")
    if isinstance(error, torch.OutOfMemoryError):
        remedy = "predict with --window-batch 1 and --adapt-steps 0, or with --device cpu"
        return Problem(case.id, file, what.splitlines()[0], remedy)
    if isinstance(error, PedsegError):
        return Problem(case.id, file, what, "mend the file and run the command again")
    return Problem(case.id, file, what, "make room (disk, memory) and run the command again; finished cases are kept")


def _protect_images(cases: Sequence[Case], outputs: set[Path]) -> None:
    outputs = {path.resolve() for path in outputs}
    for case in cases:
        for image in case.images:
            if image.path.resolve() in outputs:
                raise PedsegError(f"{image.path} would be replaced by the label map of {case.id}; give another output")


def claim(output: Path, record: dict[str, Any], wanted: Collection[Path], *, replaced: Collection[Path] = ()) -> None:
    """Note in `output` how its label maps are made, or check that they are made like that.

    Label maps among `replaced` are removed, so that a run that is cut off leaves none of the old ones behind. Others
    that pedseg did not write stay, and nothing is asked of them, unless they are in the place of one that is `wanted`.

    Raises:
        PedsegError: label maps that stay were made in another way, or nobody knows how. Nothing is removed then.
    """
    note = output / RECORD
    present = sorted(output.glob("*.nii.gz"))
    known = own(output) if is_recorded(output) else {path.name for path in present}
    refuse_foreign(output, [path.name for path in wanted if path.name not in known and path not in replaced])
    staying = [path for path in present if path not in replaced and path.name in known]
    before = read_record(note)
    missing = before.pop(MISSING, None)
    if staying and before != record:
        raise PedsegError(
            f"{output} holds {len(staying)} label maps made by other checkpoints or settings ({staying[0].name} …); "
            "give another output folder, move them away, or overwrite (which replaces those of the same cases only)"
        )
    for path in present:
        if path in replaced:
            path.unlink()
    list_files(output, [RECORD, *known, *(path.name for path in wanted)])
    write_json(note, record | ({MISSING: missing} if missing and staying else {}))


def _of_other_images(
    cases: Sequence[Case], paths: Mapping[str, Path], output: Path, record: Mapping[str, Any]
) -> set[Path]:
    """Label maps that were made in the same way, of cases that lacked other sequences then than they do now."""
    note = read_record(output / RECORD)
    lacked = note.pop(MISSING, {})
    if note != record:
        return set()
    return {paths[case.id] for case in cases if list(case.missing) != lacked.get(case.id, [])}


def _note_missing(cases: Sequence[Case], output: Path) -> None:
    """Say in the log and beside the label maps which cases lack sequences."""
    note = read_record(output / RECORD)
    now = {case.id: [str(modality) for modality in case.missing] for case in cases}
    lacking = {case: modalities for case, modalities in {**note.get(MISSING, {}), **now}.items() if modalities}
    for case in sorted(lacking.keys() & now.keys()):
        log.warning("%s has no %s: predicted without, by zeros in its place", case, " and no ".join(lacking[case]))
    if lacking != note.pop(MISSING, {}):
        write_json(output / RECORD, note | ({MISSING: lacking} if lacking else {}))


def _prefetch(predictor: Predictor, cases: Sequence[Case]) -> Iterator[tuple[Case, "Future[PreparedImage]"]]:
    """Read the next case while one is predicted: at most two are in memory."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        pending = [pool.submit(predictor.prepare, case) for case in cases[:1]]
        for index, case in enumerate(cases):
            current = pending.pop()
            current.exception()  # wait, so that only one more is read meanwhile
            if index + 1 < len(cases):
                pending.append(pool.submit(predictor.prepare, cases[index + 1]))
            yield case, current
