"""Which cases of a store are prepared and undamaged, so that a preparation makes the others alone."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pedseg.cases import Case
from pedseg.data.cohort_settings import CohortSettings, key_of
from pedseg.data.parallel import run_parallel
from pedseg.data.records import PreparedEntry
from pedseg.data.seals import FILES, MEND, check_file, measure, read_sealed, sealed
from pedseg.data.store import CASES, FOREGROUND, IMAGE, LABEL, StoredCase
from pedseg.errors import PedsegError
from pedseg.files import safe_name, write_json
from pedseg.labels import Region

ENTRY = "case.json"  # written last into a case's folder: a folder without it is not prepared
ARRAYS = (IMAGE, LABEL, FOREGROUND)
logger = logging.getLogger(__name__)


def write_entry(folder: Path, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Write what is known of a case beside its arrays, with their digests."""
    whole = sealed({**entry, FILES: measure(folder, ARRAYS)})
    write_json(folder / ENTRY, whole)
    return whole


def ready_entry(wanted: tuple[Path, str], *, labelled: bool) -> dict[str, Any] | str | None:
    """Entry of a case whose arrays are as they were written.

    Args:
        wanted: folder of the case, and its key.
        labelled: whether it has a label.

    Returns:
        The entry; None if it was prepared from other files or with other settings; what is wrong if it is damaged.
    """
    folder, key = wanted
    try:
        entry: dict[str, Any] = read_sealed(folder / ENTRY)
        said = PreparedEntry.of(entry, where=folder / ENTRY, fix=MEND)
        if (said.key, said.folder) != (key, folder.name):
            return None
        _check_arrays(folder, said, labelled=labelled)
    except PedsegError as error:
        return str(error)
    return entry


def _check_arrays(folder: Path, said: PreparedEntry, *, labelled: bool) -> None:
    """Compare each array with its digest; those of before digests are decompressed, which finds what is cut short."""
    for name in ARRAYS if labelled else (IMAGE,):
        if name in said.files:
            check_file(folder / name, said.files[name])
    if said.files:
        return
    case = StoredCase(
        id=folder.name,
        patient=said.patient,
        folder=folder,
        shape=said.shape,
        spacing_mm=said.spacing_mm,
        labelled=labelled,
        mean=said.mean,
        std=said.std,
        foreground_counts=said.foreground_counts,
    )
    case.read_image((0, 0, 0), said.shape)
    if labelled:
        case.read_label((0, 0, 0), said.shape)
        case.foreground(Region.WT)


def case_folder(folder: Path, case: Case) -> Path:
    """Folder of a prepared case."""
    return folder / CASES / safe_name(case.id)


def ready_entries(
    folder: Path, cases: Sequence[Case], settings: CohortSettings, *, workers: int
) -> dict[str, dict[str, Any]]:
    """Entries of the cases that are prepared from these very files with these settings, and undamaged."""
    begun = [case for case in cases if (case_folder(folder, case) / ENTRY).exists()]
    wanted = [(case_folder(folder, case), key_of(case, settings)) for case in begun]
    job = partial(ready_entry, labelled=settings.labelled)
    found = list(run_parallel(job, wanted, workers=workers, description=f"verifying {settings.cohort}"))
    damaged = [entry for entry in found if isinstance(entry, str)]
    if damaged:
        logger.warning("%d prepared cases are damaged and are made again: %s", len(damaged), "; ".join(damaged[:5]))
    return {case.id: entry for case, entry in zip(begun, found, strict=True) if isinstance(entry, dict)}
