"""Which voxel labels the maps of a folder hold: all of them are looked at before any is used."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from pedseg.cases import ImageFile
from pedseg.cases.label_maps import Known
from pedseg.errors import PedsegError, Problem, ProblemsError
from pedseg.hardware import cores
from pedseg.imaging.nifti import VOLUME_AXES, decode, extract_volume, integer_label, read_bytes
from pedseg.labels import CONVENTIONS, fitting_conventions

MOST_THREADS = 8  # each holds a label map, about 40 MB
SHOWN = 10  # files, of those that hold a foreign label
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Survey:
    """Voxel labels of a folder's maps, background left out.

    Attributes:
        values: of each file that is a label map.
        unreadable: of each file that should be one and is not, why.
        others: files of several volumes, such as probabilities, which are no label maps.
    """

    values: Mapping[Path, frozenset[int]]
    unreadable: Mapping[Path, str]
    others: Sequence[Path]

    @property
    def every(self) -> frozenset[int]:
        """Voxel labels that occur in any file."""
        return frozenset().union(*self.values.values())


def survey(paths: Sequence[Path]) -> Survey:
    """Look into every file, in threads; one that has not changed since the last time is not read again.

    Files of several volumes are said to be left out.
    """
    with ThreadPoolExecutor(min(MOST_THREADS, cores())) as pool:
        found = dict(zip(paths, pool.map(_values_or_reason, paths), strict=True))
    return Survey(
        {path: values for path, values in found.items() if isinstance(values, frozenset)},
        {path: values for path, values in found.items() if isinstance(values, str)},
        [path for path, values in found.items() if values is None],
    )


def has_several_volumes(path: Path) -> bool:
    """Whether a file holds more than one volume, so that it is no label map; that it is left out is said.

    Raises:
        PedsegError: it cannot be read.
    """
    return _values(path, *_state(path)) is None


def check_values(
    values: Mapping[Path, frozenset[int]],
    known: Known,
    *,
    option: str,
    outcome: str = "nothing was written",
    what: str = "label maps",
) -> None:
    """Refuse a folder in which any file holds a voxel label that the convention lacks.

    Args:
        values: of each file.
        known: the convention.
        option: with which another one is given.
        outcome: what messages say of the whole folder.
        what: how messages call the files.

    Raises:
        ProblemsError: a file does; it names the files, their labels and the conventions that have all labels.
    """
    foreign = {path: sorted(found - known.convention.values) for path, found in values.items()}
    foreign = {path: found for path, found in foreign.items() if found}
    if not foreign:
        return
    every = frozenset().union(*values.values())
    fitting = fitting_conventions(every)
    names = "; ".join(map(str, fitting)) or f"none of {', '.join(CONVENTIONS)}"
    fix = f"say in which convention all {what} are, with {option}"
    problems = [
        Problem(path.name, "", f"{path}: holds label {', '.join(map(str, found[:5]))}, which it lacks", fix)
        for path, found in list(foreign.items())[:SHOWN]
    ]
    if len(foreign) > SHOWN:
        problems.append(Problem(f"and {len(foreign) - SHOWN} more", "", "hold such labels", fix))
    raise ProblemsError(
        f"{outcome}: {len(foreign)} of {len(values)} {what} hold labels that {known.convention} lacks, {known.why}. "
        f"All {what} of a folder are in one convention. Together they hold {'+'.join(map(str, sorted(every)))}; "
        f"conventions that have all of these: {names}",
        problems,
    )


def _values_or_reason(path: Path) -> frozenset[int] | str | None:
    try:
        return _values(path, *_state(path))
    except (PedsegError, MemoryError) as error:
        return str(error) or type(error).__name__


def _state(path: Path) -> tuple[int, int]:
    """What changes when a file does; of one that is absent, which reading it will tell, nothing."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=1 << 16)
def _values(path: Path, _changed_ns: int, _size: int) -> frozenset[int] | None:
    """Voxel labels of a file, background left out; None if it holds several volumes."""
    image = decode(read_bytes(path), path)
    if any(length != 1 for length in image.shape[VOLUME_AXES:]):
        log.warning("%s is left out: it holds several volumes, so it is no label map", path)
        return None
    label = integer_label(extract_volume(image, ImageFile(path)).data, path)
    return frozenset(np.unique(label[label != 0]).tolist())
