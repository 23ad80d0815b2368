"""A table in place of a cohort's folder: which file is which modality of which case.

CSV or JSON with the columns case, t1n, t1c, t2w, t2f, in any of their `SPELLINGS`, and label and patient if there are
any. Paths are relative to the table.
"""

import stat
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pedseg.cases.case import Discovery
from pedseg.cases.formats import foreign_stem, told
from pedseg.cases.gathered import Gathered
from pedseg.cases.listing import NOTHING_THERE
from pedseg.cases.naming import composed, nifti_stem
from pedseg.cases.patients import same_text
from pedseg.cases.spellings import LABEL, accepted, role_of
from pedseg.cases.table import ENDINGS, Row, read_placed
from pedseg.errors import PedsegError, Problem
from pedseg.files import kind_of, safe_name
from pedseg.labels import Modality

CASE: Final = "case"
PATIENT: Final = "patient"
_COLUMNS: Final = f"{CASE}, {', '.join(Modality)}, and {LABEL} and {PATIENT} where there are some"


def is_table(path: Path) -> bool:
    """Whether a path in place of a cohort's folder is that of a table."""
    return path.name.lower().endswith(ENDINGS) and not path.is_dir()


def find_in_table(path: Path, *, cohort: str, labelled: bool, allow_missing: bool = False) -> Discovery:
    """Read the cases that a table lists.

    Args:
        path: the table.
        cohort: name given to the cases.
        labelled: whether each case must have a label. If not, the column is not read.
        allow_missing: whether a case may lack modalities, as long as it has one.

    Raises:
        PedsegError: it is no table, lacks a column, has one for two roles or two for one, or names a case twice.
    """
    rows = read_placed(path)
    roles = _roles(path, rows[0][1], labelled=labelled, allow_missing=allow_missing)
    table = _Table(path, roles)
    for place, row in rows:
        table.take(place, row)
    table.check_files()
    return table.gathered.sorted_out(table, cohort=cohort, labelled=labelled, allow_missing=allow_missing)


def _roles(path: Path, row: Row, *, labelled: bool, allow_missing: bool) -> dict[str, str]:
    """Role → column."""
    found: dict[str, list[str]] = defaultdict(list)
    for column in row:
        role = role_of(column)
        if role and (role != LABEL or labelled):
            found[role].append(column)
    twice = next((columns for columns in found.values() if len(columns) > 1), None)
    if twice:
        raise PedsegError(f"{path}: columns {' and '.join(map(repr, twice))} are both of one role; keep one of them")
    images = [modality for modality in Modality if modality not in found]
    missing = [CASE] if CASE not in row else []
    if not (labelled and LABEL in found and len(images) == len(Modality)):  # a list of labels alone needs no images
        missing += [] if allow_missing and len(images) < len(Modality) else images
    missing += [LABEL] if labelled and LABEL not in found else []
    if missing:
        raise PedsegError(
            f"{path}: has no column {', '.join(missing)}; it has {', '.join(map(repr, row))}, and needs {_COLUMNS}. "
            f"Spellings: {accepted()} …{'; or set labelled=false if there are no labels' if missing == [LABEL] else ''}"
        )
    return {role: columns[0] for role, columns in found.items()}


@dataclass(slots=True)
class _Table:
    """Rows read so far.

    Attributes:
        path: of the table.
        roles: role → column.
        gathered: files of cases.
        places: case → line or record.
        ids: case in the one spelling that all of a name have in common → line or record.
        seen: file → the cell that named it first.
    """

    path: Path
    roles: Mapping[str, str]
    gathered: Gathered = field(default_factory=Gathered)
    places: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    seen: dict[Path, str] = field(default_factory=dict)

    def take(self, place: str, row: Row) -> None:
        """Take the row of a case.

        Raises:
            PedsegError: it has no id, one that cannot name files, or one that another row has.
        """
        case = composed(row.get(CASE, ""))
        if not case:
            raise PedsegError(f"{self.path}: {place}, column {CASE}: is empty; give the case an id")
        try:
            safe_name(case)
        except PedsegError as error:
            raise PedsegError(f"{self.path}: {place}, column {CASE}: {error}") from error
        before = self.ids.setdefault(same_text(case), place)
        if before != place:
            raise PedsegError(f"{self.path}: {before} and {place} are both of case {case}; keep one row for each case")
        self.places[case] = place
        if patient := row.get(PATIENT):
            self.gathered.patients[case] = patient
        for role, column in self.roles.items():
            if row[column]:
                self._add(case, role, self.path.parent / row[column])
        if not any(row[column] for column in self.roles.values()):
            self._fault(case, self._cell(case), "names no file", "fill the row, or remove it")

    def _add(self, case: str, role: str, file: Path) -> None:
        cell = self._cell(case, role)
        if file in self.seen:
            self._fault(case, cell, f"{file} is in {self.seen[file]} as well", "give each image a file of its own")
        self.seen.setdefault(file, cell)
        self.gathered.add(case, role, file)

    def check_files(self) -> None:
        """Say of each file that cannot be one what it is; what it holds is looked at with all other images."""
        for case, files in list(self.gathered.files.items()):
            for role, (file, *_) in files.items():
                if fault := _fault_of(file.path):
                    self._fault(case, self._cell(case, role), *fault)

    def _fault(self, case: str, cell: str, what: str, fix: str) -> None:
        self.gathered.findings.append(Problem(case, cell, what, fix))

    def _cell(self, case: str, role: str | None = None) -> str:
        column = f", column {self.roles[role]}" if role else ""
        return f"{self.path.name}: {self.places[case]}{column}"

    def shown(self, path: Path) -> str:
        """The cell that names a file, and the file."""
        return f"{self.seen[path]}, {path}" if path in self.seen else str(path)

    def missing(self, case: str, role: str) -> tuple[str, str]:
        """The cell that is empty."""
        return self._cell(case, role), ""


def _fault_of(path: Path) -> tuple[str, str] | None:
    """What keeps a path from being that of a NIfTI file, and what to do about it."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        link = path.is_symlink()
        what = NOTHING_THERE if link else "no such file" if isinstance(error, FileNotFoundError) else str(error)
        return f"{path}: {what}", "mend the path, which is relative to the table"
    if not stat.S_ISREG(status.st_mode):
        return f"{path}: is a {kind_of(status.st_mode)}, and only files are read", "name the file"
    if nifti_stem(path.name) is None:
        what, fix = told(path) if foreign_stem(path.name) else ("is not called .nii or .nii.gz", "name a NIfTI file")
        return f"{path}: {what}", fix
    return None
