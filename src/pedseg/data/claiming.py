"""A store belongs to the settings that it was made with."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pedseg.cases import Case
from pedseg.data.cohort_settings import CohortSettings
from pedseg.data.ready import ENTRY
from pedseg.data.seals import SEAL, read_sealed, sealed
from pedseg.data.store import CASES, FOREGROUND, IMAGE, INDEX, LABEL
from pedseg.errors import PedsegError
from pedseg.files import check_place, check_room, write_json
from pedseg.ownership import clear, foreign, listing, name_left

SETTINGS = "settings.json"
PART_KEPT = 0.5  # of the bytes of images, at least; 0.87 of two real cases
OF_A_CASE = (IMAGE, LABEL, FOREGROUND, ENTRY)
BESIDE_SETTINGS = {SEAL, "cohort", "input_folder", "cases"}  # of the index
logger = logging.getLogger(__name__)


def check_output(folder: Path, cases: Sequence[Case], settings: CohortSettings) -> None:
    """Refuse a store that cannot be written, or whose disk has no room, before any file of the cohort is read.

    Raises:
        PedsegError: it is such a one.
    """
    check_place(folder / SETTINGS)
    check_place(folder / CASES / "case" / ENTRY)
    waiting = [case for case in cases if not (folder / CASES / case.id).exists()]
    if settings.spacing_mm is None:  # else resampling decides
        files = {image.path for case in waiting for image in case.images}
        needed = sum(path.stat().st_size for path in files if path.exists()) * PART_KEPT
        check_room(folder, int(needed), what=f"prepared arrays of {len(waiting)} cases")


def claim_store(folder: Path, settings: CohortSettings, *, overwrite: bool) -> bool:
    """Note the settings in the store, or check that it was made with them; returns whether it had to be emptied.

    Raises:
        PedsegError: it was made with others and `overwrite` is not set.
    """
    note = folder / SETTINGS
    record = settings.record()
    before = _settings_before(folder)
    other = before is not None and before != record
    if other:
        if not overwrite:
            raise PedsegError(
                f"{folder} was prepared with other settings: {before}, now {record}; "
                "give overwrite=true to prepare it again, or another data.store"
            )
        _clear(folder)
    elif before is None:
        _refuse_foreign_folder(folder)
    write_json(note, sealed(record))
    return other


def _settings_before(folder: Path) -> dict[str, Any] | None:
    """Settings that a store was made with, from the note of them or else from its index; None where there is neither.

    Where both are damaged they are empty, and like no others.
    """
    notes = [folder / name for name in (SETTINGS, INDEX) if (folder / name).exists()]
    for note in notes:
        try:
            found = read_sealed(note)
            return {key: value for key, value in dict(found).items() if key not in BESIDE_SETTINGS}
        except (PedsegError, TypeError, ValueError) as error:
            logger.warning("%s is damaged (%s)", note, error)
    return {} if notes else None


def _refuse_foreign_folder(folder: Path) -> None:
    """Refuse a folder that has content and is no store.

    Raises:
        PedsegError: it is such a one.
    """
    if content := foreign(folder):
        raise PedsegError(
            f"{folder} is no store: it holds {listing(content)} and no {SETTINGS}; give another data.store, or move it "
            "away"
        )


def _clear(folder: Path) -> None:
    """Remove what preparation has written; what else there is stays, and is named."""
    cases = [path.parent.relative_to(folder).as_posix() for path in folder.glob(f"{CASES}/*/{ENTRY}")]
    clear(folder, also=[INDEX, SETTINGS, *(f"{case}/{name}" for case in cases for name in OF_A_CASE)])
    name_left(folder)
