"""One folder as it is: NIfTI files, folders, and what else lies there."""

import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from pedseg.cases.formats import foreign_stem, is_archive, is_dicom
from pedseg.cases.naming import is_label_name, nifti_stem, read_name
from pedseg.errors import PedsegError
from pedseg.files import kind_of

NOTHING_THERE = "a link to nothing"
SKIPPED = frozenset({"__MACOSX", "sourcedata", "$RECYCLE.BIN", "System Volume Information", "@eaDir", "lost+found"})


@dataclass(slots=True)
class Listing:
    """What a folder holds; what is hidden is left out.

    Attributes:
        stems: NIfTI stem → its files (two where both .nii and .nii.gz are there).
        folders: names.
        foreign: images in other formats, archives apart.
        archives: names.
        others: names of files that are none of these.
        unusable: entry → what it is, of all that is neither a file nor a folder, and of folders in place of a file.
        has_dataset: whether dataset.json is there.
        is_empty: whether nothing is there.
    """

    stems: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    folders: list[str] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)
    archives: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    unusable: dict[Path, str] = field(default_factory=dict)
    has_dataset: bool = False
    is_empty: bool = False


def list_folder(folder: Path, *, labelled: bool) -> Listing:
    """List a folder.

    Args:
        folder: to list, not below.
        labelled: if not, whatever is named as a label is skipped, and not looked at.

    Raises:
        PedsegError: it cannot be listed.
    """
    try:
        with os.scandir(folder) as listing:
            entries = sorted((e for e in listing if not e.name.startswith(".")), key=lambda e: e.name)
    except OSError as error:
        raise PedsegError(f"{folder}: cannot be listed ({error.strerror}); mend its permissions") from error
    found = Listing(has_dataset=any(entry.name == "dataset.json" for entry in entries), is_empty=not entries)
    plain: list[Path] = []
    for entry in entries:
        if labelled or not is_label_name(entry.name, nifti_stem(entry.name) or foreign_stem(entry.name)):
            _take(found, entry, plain)
    if plain and not found.stems and not found.foreign and is_dicom(plain[0]):
        found.foreign += plain
    alike = {_form(name) for name in found.folders}
    found.unusable |= {path: "a file in place of a folder" for path in plain if _form(path.name) in alike}
    return found


def _form(name: str) -> str:
    """A name without its numbers, which those of cases have in common."""
    return re.sub(r"\d+", "0", name)


def _take(found: Listing, entry: "os.DirEntry[str]", plain: list[Path]) -> None:
    """Take an entry; a file that has no ending, as those of DICOM have none, is put to the plain ones."""
    if stem := nifti_stem(entry.name):
        _take_image(found, entry, stem)
    elif kind := _unusable(entry):
        found.unusable[Path(entry.path)] = kind
    elif entry.is_dir():
        found.folders += [] if entry.name in SKIPPED else [entry.name]
    elif foreign_stem(entry.name):
        found.foreign.append(Path(entry.path))
    elif is_archive(entry.name):
        found.archives.append(entry.name)
    elif "." not in entry.name or entry.name.replace(".", "").isdecimal():
        plain.append(Path(entry.path))
    else:
        found.others.append(entry.name)


def _take_image(found: Listing, entry: "os.DirEntry[str]", stem: str) -> None:
    """Take what is named as a NIfTI file, which a folder that holds one may stand for (BraTS 2021 of Kaggle)."""
    path = Path(entry.path)
    if kind := _unusable(entry):
        found.unusable[path] = kind
    elif entry.is_dir():
        inside = [file for file in sorted(path.iterdir()) if not file.name.startswith(".") and nifti_stem(file.name)]
        if read_name(stem) is None or any(file.is_dir() for file in inside):
            found.folders.append(entry.name)
            return
        if len(inside) == 1:
            path = inside[0]
        else:
            found.unusable[path] = f"a folder that holds {len(inside)} NIfTI files in place of one"
    found.stems[stem].append(path)


def _unusable(entry: "os.DirEntry[str]") -> str | None:
    """What an entry is that is neither a file nor a folder; None for those."""
    try:
        return None if entry.is_file() or entry.is_dir() else f"a {kind_of(entry.stat().st_mode)}"
    except OSError:
        return NOTHING_THERE


def remedy(what: str) -> str:
    """What to do about what stands in the place of a file or folder."""
    return "mend the link or remove it" if what == NOTHING_THERE else "put the file or folder there, or remove it"
