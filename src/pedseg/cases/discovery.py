"""Walk a cohort's folder and put the files of each case together."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pedseg.cases import naming
from pedseg.cases.case import Discovery
from pedseg.cases.case_table import find_in_table, is_table
from pedseg.cases.channels import read_channels, read_ignored
from pedseg.cases.folder_names import names_in, of_labels
from pedseg.cases.formats import not_a_folder
from pedseg.cases.gathered import Gathered
from pedseg.cases.listing import Listing, list_folder, remedy
from pedseg.cases.naming import LABEL_FOLDERS, composed, read_name, says_automatic
from pedseg.cases.segmentations import settle_labels
from pedseg.cases.spellings import AUTOMATED, LABEL
from pedseg.cases.strays import Strays
from pedseg.errors import PedsegError, Problem, Severity
from pedseg.labels import Modality

_DEPTH = 8  # folders below the given one, such as package / release / derivatives / pipeline / sub / ses / anat
_DERIVED = "derivatives"  # BIDS: what was made of images
_PIPELINES = frozenset({"fmriprep", "smriprep", "freesurfer", "fastsurfer", "synthseg", "mriqc", "qsiprep"})


def find_cases(folder: Path, *, cohort: str, labelled: bool, allow_missing: bool = False) -> Discovery:
    """Find the cases in `folder` and below, whatever mixture of layouts they are in, or in a table of files.

    Hidden files and files of unknown form are passed over, links are followed. Of an nnU-Net or Decathlon data set
    imagesTr is read (imagesTs if there is none); give the folder imagesTs itself to read that one.

    Args:
        folder: the cohort; or, of an nnU-Net data set, a folder of images in or above which dataset.json lies; or a
            table that `pedseg.cases.case_table` reads.
        cohort: name given to the cases.
        labelled: whether each case must have a label. If not, whatever is named as a label is skipped unread.
        allow_missing: whether a case may lack sequences, as long as it has one.

    Returns:
        The complete cases. Every incomplete or ambiguous one is a row of `problems` instead.

    Raises:
        PedsegError: the folder is absent or unreadable, holds no image of a known form, or has numbered channels
            whose modalities cannot be told; or the table names no cases.
    """
    if is_table(folder):
        return find_in_table(folder, cohort=cohort, labelled=labelled, allow_missing=allow_missing)
    if not folder.is_dir():
        raise not_a_folder(folder, cohort=cohort)
    root = Path(os.path.abspath(folder))  # noqa: PTH100  (resolve() would follow links, absolute() keeps '..')
    finder = _Finder(root, labelled=labelled, allow_missing=allow_missing, strays=Strays(root))
    finder.walk(root, _DEPTH)
    if not finder.gathered.files and not finder.derived.files:
        seen = finder.strays.seen(finder.gathered.unusable)
        raise PedsegError(f"{folder}: nothing recognised for cohort {cohort!r} (seen: {seen}). {naming.LAYOUTS}")
    finder.settle()
    return finder.gathered.sorted_out(finder, cohort=cohort, labelled=labelled, allow_missing=allow_missing)


@dataclass(slots=True)
class _Finder:
    """What has been found so far below `root`. Each folder is listed once.

    Attributes:
        root: the folder given.
        labelled: whether labels are looked for.
        allow_missing: whether data sets may lack channels.
        strays: files that are of no case.
        gathered: files of cases.
        derived: those below derivatives/.
        channels: nnU-Net folder → its channels.
        decorated: case with a word between it and the role → its id.
        visited: device and number of folders.
    """

    root: Path
    labelled: bool
    allow_missing: bool
    strays: Strays
    gathered: Gathered = field(default_factory=Gathered)
    derived: Gathered = field(default_factory=Gathered)
    channels: dict[Path, Mapping[Modality, int]] = field(default_factory=dict)
    decorated: dict[str, str] = field(default_factory=dict)
    visited: set[tuple[int, int]] = field(default_factory=set)

    def walk(self, folder: Path, depth: int) -> None:
        """Take what `folder` holds and go down into its folders; a folder reached twice is taken once."""
        status = folder.stat()
        if (status.st_dev, status.st_ino) in self.visited:
            return
        self.visited.add((status.st_dev, status.st_ino))
        listing = self._list(folder)
        images = next((name for name in LABEL_FOLDERS if name in listing.folders), None)
        if listing.has_dataset and images:
            self._take_channels(folder / images, self._list(folder / images), folder / "dataset.json")
        elif self._is_numbered(folder, listing):
            self._take_channels(folder, listing, (folder if listing.has_dataset else folder.parent) / "dataset.json")
        else:
            self._take_names(folder, listing)
            if depth:
                for name in listing.folders:
                    self.walk(folder / name, depth - 1)
            elif listing.folders:
                self.strays.too_deep.append(folder)

    def _list(self, folder: Path) -> Listing:
        listing = list_folder(folder, labelled=self.labelled)
        if _DERIVED in (folder.name, folder.parent.name):
            listing.folders = [name for name in listing.folders if name not in _PIPELINES]
        self.gathered.unusable |= listing.unusable
        self.strays.take(folder, listing)
        return listing

    def _is_numbered(self, folder: Path, listing: Listing) -> bool:
        """Whether a folder holds images of nnU-Net or the Decathlon."""
        if any(stem.endswith("_0000") for stem in listing.stems):
            return True
        return folder.name in LABEL_FOLDERS and any(read_name(stem) is None for stem in listing.stems)

    def _take_names(self, folder: Path, listing: Listing) -> None:
        """Take files whose names say of which case and role they are."""
        for stem, name in names_in(folder, self.root, listing.stems).items():
            files = listing.stems[stem]
            if name is None:
                self.strays.unknown[folder] += [file.name for file in files]
                continue
            if name.copy:
                self.strays.copies[name.case, name.role] += files
                continue
            for file in files:
                self._add(name.case, name.role, file)
            if name.adopted:
                what = "is taken for the label: the only one in the folder of the case"
                said = Problem(name.case, self.shown(files[0]), what, "name it after the case", Severity.WARNING)
                self.gathered.findings.append(said)
            elif name.decorated and name.role != LABEL:
                self.decorated[name.decorated] = name.case

    def _take_channels(self, folder: Path, listing: Listing, dataset: Path) -> None:
        """Take nnU-Net's numbered files, or the Decathlon's 4-D ones, and the labels beside their folder."""
        if not dataset.is_file():
            raise PedsegError(
                f"{folder}: no dataset.json here or in the folder above says which channel is which modality; copy the "
                f"one of the data set to {dataset}"
            )
        channels = self.channels[folder] = read_channels(dataset, allow_missing=self.allow_missing)
        self.gathered.ignored |= read_ignored(dataset) if self.labelled else set()
        numbered = any(stem.endswith("_0000") for stem in listing.stems)
        for stem, files in listing.stems.items():
            case, number = (naming.split_numbered_name(stem) or ("", -1)) if numbered else (stem, None)
            if not case:
                self.strays.unknown[folder] += [file.name for file in files]
            for modality in (modality for modality, channel in channels.items() if number in (None, channel)):
                for file in files:
                    self._add(case, modality, file, volume=None if numbered else channels[modality])
        self._take_labels(folder)

    def _take_labels(self, folder: Path) -> None:
        """Take the labels beside a folder of images."""
        labels = folder.with_name(LABEL_FOLDERS.get(folder.name, folder.name))
        if self.labelled and labels != folder and labels.is_dir():
            for stem, files in self._list(labels).stems.items():
                for file in files:
                    self._add(stem, LABEL, file)

    def _add(self, case: str, role: str, file: Path, *, volume: int | None = None) -> None:
        parts = Path(self.shown(file)).parts
        derived = role in list(Modality) and _DERIVED in parts
        if role == LABEL and _DERIVED in parts and says_automatic(parts[parts.index(_DERIVED) + 1]):
            role = AUTOMATED
        (self.derived if derived else self.gathered).add(case, role, file, volume=volume)

    def settle(self) -> None:
        """Decide what can be decided only when everything was seen."""
        imaged = self.gathered.imaged
        for case, files in self.derived.files.items():
            if case not in imaged:
                for role, found in files.items():
                    self.gathered.files[case][role] += found
        if self.labelled:
            settle_labels(self.gathered, self.decorated)
            self._take_named_as_cases()
        taken = set(self.gathered.paths) if self.gathered.unusable else set()
        self.gathered.findings += [
            Problem(path.name, self.shown(path), what, remedy(what))
            for path, what in self.gathered.unusable.items()
            if path not in taken
        ]
        self.gathered.findings += self.strays.findings(self.gathered, self.shown)

    def _take_named_as_cases(self) -> None:
        """Take labels that are called as their case is, in a folder that says that it holds labels."""
        imaged = self.gathered.imaged
        for folder in filter(of_labels, list(self.strays.unknown)):
            for name in self.strays.unknown.pop(folder):
                case = composed(naming.nifti_stem(name) or "")
                if case in imaged:
                    self.gathered.add(case, LABEL, folder / name)
                else:
                    self.strays.unknown[folder].append(name)

    def missing(self, case: str, role: str) -> tuple[str, str]:
        """Where a file that is missing should be, given another one of the case, and what lies there instead."""
        files = self.gathered.files[case]
        sibling = next(found[0].path for other, found in files.items() if other != LABEL)
        if other_form := self.strays.instead(case, role):
            return self.shown(other_form.path), f" (this one {other_form.what}; {other_form.fix})"
        unknown = self.strays.unknown.get(sibling.parent, [])
        hint = f" (perhaps {', '.join(unknown)}, renamed)" if 0 < len(unknown) <= len(files) else ""
        channels = self.channels.get(sibling.parent)
        if channels is None:
            return self.shown(sibling.with_name(naming.official_name(case, role, sibling=sibling.name))), hint
        if role == LABEL:
            folder = sibling.parent.with_name(LABEL_FOLDERS.get(sibling.parent.name, "labelsTr"))
            return self.shown(folder / f"{case}.nii.gz"), hint
        return self.shown(sibling.with_name(f"{case}_{channels[Modality(role)]:04d}.nii.gz")), hint

    def shown(self, path: Path) -> str:
        """A path below the folder that was given."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)
