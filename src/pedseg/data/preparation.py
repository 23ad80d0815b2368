"""From the checked files of a cohort to its prepared store: only what is new is prepared."""

import logging
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pedseg.cases import Case
from pedseg.data.check_record import CONTRASTS, record_of
from pedseg.data.checking import CohortCheck
from pedseg.data.cohort_settings import CohortSettings, key_of
from pedseg.data.encoding import pack_image, pack_masks, sample_foreground, write_array
from pedseg.data.parallel import run_parallel
from pedseg.data.ready import ARRAYS, ENTRY, case_folder, write_entry
from pedseg.data.seals import FILES, read_sealed, sealed
from pedseg.data.store import CASES, DIGESTS, FOREGROUND, IMAGE, INDEX, LABEL
from pedseg.errors import PedsegError
from pedseg.files import temporary_of, write_json
from pedseg.imaging import prepare_image, prepare_label
from pedseg.imaging.integrity import CaseCheck, read_checked, read_label_onto
from pedseg.labels import Region

BY_FILES = "fingerprint"  # what older versions knew a case by: a hash of the bytes of its files
logger = logging.getLogger(__name__)


def prepare_cohort(
    folder: Path, check: CohortCheck, settings: CohortSettings, *, input_folder: Path, workers: int
) -> int:
    """Prepare the usable cases that are not ready, then write the index; returns how many were prepared.

    Prepared cases that are not among the usable ones any more are named in a warning. They leave the index, and their
    arrays stay for the day their files are back.
    """
    waiting = [case for case in check.usable if case.id not in check.ready]
    _name_absent(folder / CASES, {case.id for case in check.usable}, input_folder)
    if waiting:
        (folder / INDEX).unlink(missing_ok=True)
    job = partial(_prepare_case, folder=folder, settings=settings)
    items = [(case, check.checks[case.id]) for case in waiting]
    for _ in run_parallel(job, items, workers=workers, description=f"preparing {settings.cohort}"):
        pass
    cases = {c.id: _entry(folder, c, check.checks[c.id]) | {"patient": c.patient} for c in check.usable}
    index = {**settings.record(), "cohort": settings.cohort, "input_folder": str(input_folder), "cases": cases}
    write_json(folder / INDEX, sealed(index))
    return len(waiting)


def _prepare_case(item: tuple[Case, CaseCheck], *, folder: Path, settings: CohortSettings) -> None:
    """Prepare one checked case into a folder that appears whole or not at all."""
    case, check = item
    key = key_of(case, settings)
    images = read_checked(case, background=settings.background)
    prepared = prepare_image(images.volumes, spacing_mm=settings.spacing_mm, background=settings.background)
    final = case_folder(folder, case)
    staging = temporary_of(final)
    staging.mkdir(parents=True)
    try:
        write_array(staging / IMAGE, pack_image(prepared.raw, prepared.brain))
        counts: list[int] = []
        ignored = 0
        if settings.labelled and case.label and settings.convention:
            masks = prepare_label(read_label_onto(case.label, images.volumes[0]), prepared, settings.convention)
            voxels = sample_foreground(masks[: len(Region)], case.id)
            counts = [len(v) for v in voxels]
            ignored = int(np.count_nonzero(masks[len(Region) :]))
            write_array(staging / LABEL, pack_masks(masks))
            np.save(staging / FOREGROUND, np.concatenate(voxels))
        entry = {
            "folder": final.name,
            "patient": case.patient,
            "shape": list(prepared.brain.shape),
            "spacing_mm": list(prepared.spacing_mm),
            "mean": prepared.mean.tolist(),
            "std": prepared.std.tolist(),
            "foreground_counts": counts,
            "key": key,
            **({"ignored_voxels": ignored} if ignored else {}),
            **record_of(check),
        }
        write_entry(staging, entry)
        _put(staging, final)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _name_absent(cases: Path, usable: set[str], input_folder: Path) -> None:
    """Name the prepared cases that cannot be found or used any more."""
    gone = sorted(path.parent.name for path in cases.glob(f"[!.]*/{ENTRY}") if path.parent.name not in usable)
    if gone:
        names = ", ".join(gone[:5]) + (" …" if len(gone) > 5 else "")  # noqa: PLR2004  (as many as fit a line)
        logger.warning("%d prepared cases are not in %s any more, or bad: %s", len(gone), input_folder, names)


def _put(staging: Path, final: Path) -> None:
    """Let a case's files take the place of those of before; what else lies there stays, and the entry comes last."""
    if not final.exists():
        staging.rename(final)
        return
    try:
        (final / ENTRY).unlink(missing_ok=True)
        for name in (*ARRAYS, ENTRY):
            if (staging / name).exists():
                (staging / name).replace(final / name)
            else:
                (final / name).unlink(missing_ok=True)
    except OSError as error:
        raise PedsegError(f"{error.filename2 or final}: is in the way ({error}); move it away") from error


def _entry(folder: Path, case: Case, check: CaseCheck) -> dict[str, Any]:
    """Entry of a prepared case; one of an older version gets the digests that it lacks."""
    place = case_folder(folder, case)
    entry: dict[str, Any] = read_sealed(place / ENTRY)
    whole = DIGESTS in entry and CONTRASTS in entry
    if whole and FILES in entry:
        return entry
    known = {} if whole else record_of(check)
    return write_entry(place, {key: value for key, value in entry.items() if key != BY_FILES} | known)
