"""Folders of label maps: of which case each file is, and in which voxel labels the maps are.

Every command that reads or writes such a folder asks here, so that the names and records which one of them leaves are
understood by the others.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from pedseg.cases.naming import composed, nifti_stem, read_name, without_automatic
from pedseg.cases.patients import same_text
from pedseg.cases.spellings import AUTOMATED, LABEL
from pedseg.errors import PedsegError
from pedseg.files import read_json
from pedseg.labels import (
    DEFAULT_CONVENTION,
    LabelConvention,
    fitting_conventions,
    get_convention,
    read_convention,
)
from pedseg.settings.record import Digest, Line, Record, Sequenced, SequenceName

PREDICTED: Final = "predictions.json"  # beside label maps: what made them
POSTPROCESSED: Final = "rules.json"  # and which rules cleared them up
CONVENTION: Final = "convention"  # key of both
RESTORE: Final = "restore the record, or move it and the label maps beside it away"


class MapsRecord(Record):
    """What a record beside label maps says of them, whatever made them; each maker reads more of it."""

    convention: Line | None = None
    missing_sequences: dict[Line, Annotated[tuple[SequenceName, ...], Sequenced]] = Field(default_factory=dict)
    inputs: dict[Line, Digest] = Field(default_factory=dict)


def read_record(path: Path) -> dict[str, Any]:
    """The record beside label maps, of known form; empty where there is none.

    Raises:
        PedsegError: it cannot be read, or says what no record does.
    """
    if not path.exists():
        return {}
    content: Any = read_json(path)
    MapsRecord.of(content, where=path, fix=RESTORE)
    return dict(content)


def label_map_case(name: str) -> str | None:
    """Case of a label map's file name, in Unicode's composed form; None for hidden files and those of other kinds.

    The ending is ``.nii.gz`` or ``.nii`` in any case of letters; ``-seg``, ``_seg`` and the other spellings of a
    label's role before it belong to no case's id, nor does the ``_automated_approx`` of UPENN-GBM.
    """
    stem = None if name.startswith(".") else nifti_stem(name)
    if not stem:
        return None
    said = read_name(stem)
    labelled = said is not None and said.case and said.role in (LABEL, AUTOMATED) and not said.copy
    return without_automatic(said.case) if said and labelled else composed(stem)


def list_label_maps(folder: Path) -> dict[str, list[Path]]:
    """Files of each case in a folder of label maps, in the order of their names.

    Raises:
        PedsegError: there is no such folder, or the name of a file in it is not in UTF-8.
    """
    if not folder.is_dir():
        raise PedsegError(f"{folder}: no such folder; give the folder that holds the label maps")
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        case = label_map_case(path.name)
        if case and not path.is_dir():
            found[_in_utf8(case, folder)].append(path)
    return dict(found)


def _in_utf8(case: str, folder: Path) -> str:
    try:
        case.encode()
    except UnicodeEncodeError:
        raise PedsegError(f"{folder}: the name of {case!r} is not in UTF-8; rename the file in UTF-8") from None
    return case


def find_label_maps(folder: Path) -> dict[str, Path]:
    """File of each case in a folder of label maps, in the order of the cases.

    Raises:
        PedsegError: there is no such folder, no label map in it, several of one case, or two whose names differ in the
            case of letters only, which are one file elsewhere.
    """
    found = list_label_maps(folder)
    if not found:
        raise PedsegError(f"{folder}: no label map in it; give a folder of <case id>.nii.gz")
    for case, paths in found.items():
        if len(paths) > 1:
            names = " and ".join(path.name for path in paths)
            raise PedsegError(f"{folder}: {names} are both of one case, {case}; keep one of them there")
    alike: dict[str, str] = {}
    for case in found:
        if (other := alike.setdefault(same_text(case), case)) != case:
            raise PedsegError(f"{folder}: {other} and {case} differ in the case of letters only; rename one of them")
    return {case: found[case][0] for case in sorted(found)}


@dataclass(frozen=True, slots=True)
class Known:
    """In which voxel labels the maps of a folder are, and who says so.

    Attributes:
        convention: the voxel labels.
        why: who says so, in words.
        stated: whether somebody does; if not it is a default, which the maps may speak against.
    """

    convention: LabelConvention
    why: str
    stated: bool

    def explained(self, values: Iterable[int]) -> str:
        """The convention and why it was taken, with those that have all `values` as well where nobody has said it."""
        others = [c.name for c in fitting_conventions(values) if c.name != self.convention.name]
        fit = f"; {', '.join(others)} would fit as well" if others and not self.stated else ""
        return f"{self.convention}, {self.why}{fit}"


def known_convention(folder: Path, given: str | None, *, option: str, default: Known | None = None) -> Known:
    """Voxel labels of a folder's maps: by the command line, by the record beside them, or the default.

    Args:
        folder: the label maps.
        given: convention on the command line, as `read_convention` takes it, if one is.
        option: how it is given there.
        default: what holds where nobody says anything; None for brats2023.

    Raises:
        PedsegError: the name is unknown, a record is damaged, or the two contradict each other.
    """
    recorded = recorded_convention(folder)
    if given is None:
        default = default or Known(get_convention(DEFAULT_CONVENTION), f"the default of {option}", stated=False)
        return Known(recorded[0], f"which {recorded[1]} says", stated=True) if recorded else default
    convention = read_convention(given)
    if recorded and not recorded[0].agrees(convention):
        raise PedsegError(
            f"{recorded[1]}: the label maps beside it are in {recorded[0]}, and {option} says {convention}; leave the "
            f"option out, or move the record away if it is of other label maps"
        )
    return Known(convention, f"given by {option}", stated=True)


def recorded_convention(folder: Path) -> tuple[LabelConvention, Path] | None:
    """Voxel labels that the records beside label maps name, and the record; None if none does.

    Raises:
        PedsegError: a record is damaged, names no convention that can be understood, or another than the other one.
    """
    records = (folder / PREDICTED, folder / POSTPROCESSED)
    found = [(convention, path) for path in records for convention in _read(path)]
    if len(found) > 1 and not found[0][0].agrees(found[1][0]):
        (one, first), (other, second) = found
        raise PedsegError(f"{first} says {one}, and {second} says {other}; move the one of other label maps away")
    return found[0] if found else None


def _read(path: Path) -> Iterable[LabelConvention]:
    """The convention that a record names, if it is there and names one."""
    content = read_record(path)
    if content.get(CONVENTION) is not None:
        try:
            yield read_convention(content[CONVENTION])
        except PedsegError as error:
            raise PedsegError(f"{path}: {error}; {RESTORE}") from error
