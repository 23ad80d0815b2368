"""Walk a cohort's folder and put the files of each case together."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pedseg.cases import naming
from pedseg.cases.case import Case, Discovery, ImageFile
from pedseg.cases.naming import LABEL, LABEL_FOLDERS
from pedseg.cases.patients import patient_of
from pedseg.errors import PedsegError, Problem
from pedseg.files import safe_name
from pedseg.labels import Modality

WITHOUT = "; `pedseg predict --allow-missing` does without it"
_DEPTH = 3  # folders below the given one: release / grade (HGG, LGG) / case
_Stems = Mapping[str, Sequence[str]]  # NIfTI stem → file names (two where both .nii and .nii.gz are there)


def find_cases(folder: Path, *, cohort: str, labelled: bool, allow_missing: bool = False) -> Discovery:
    """Find the cases in `folder` and up to three folders deeper, whatever mixture of layouts they are in.

    Hidden files and files of unknown form are passed over, links are followed. Of an nnU-Net or Decathlon data set
    imagesTr is read (imagesTs if there is none); give the folder imagesTs itself to read that one.

    Args:
        folder: the cohort; or, of an nnU-Net data set, a folder of images in or above which dataset.json lies.
        cohort: name given to the cases.
        labelled: whether each case must have a label. If not, whatever is named as a label is skipped unread.
        allow_missing: whether a case may lack sequences, as long as it has one.

    Returns:
        The complete cases. Every incomplete or ambiguous one is a row of `problems` instead.

    Raises:
        PedsegError: the folder is absent or unreadable, holds no image of a known form, or has numbered channels
            whose modalities cannot be told.
    """
    if not folder.is_dir():
        raise PedsegError(f"{folder}: no such folder; give the folder that holds the cases of cohort {cohort!r}")
    root = Path(os.path.abspath(folder))  # noqa: PTH100  (resolve() would follow links, absolute() keeps '..')
    finder = _Finder(root=root, labelled=labelled, allow_missing=allow_missing)
    finder.walk(root, _DEPTH)
    if not finder.found:
        seen = ", ".join(name for names in finder.strays.values() for name in names[:3])[:200] or "no NIfTI file"
        raise PedsegError(f"{folder}: nothing recognised for cohort {cohort!r} (seen: {seen}). {naming.LAYOUTS}")
    return finder.assemble(cohort)


@dataclass(slots=True)
class _Finder:
    """What has been found so far below `root`. Each folder is listed once."""

    root: Path
    labelled: bool
    allow_missing: bool = False
    found: dict[str, dict[str, list[ImageFile]]] = field(default_factory=dict)  # case → role → files
    strays: dict[Path, list[str]] = field(default_factory=lambda: defaultdict(list))  # NIfTI files of unknown form
    broken: dict[Path, bool] = field(default_factory=dict)  # links to nowhere → whether named as NIfTI files
    channels: dict[Path, Mapping[Modality, int]] = field(default_factory=dict)  # nnU-Net folder → its channels
    visited: set[tuple[int, int]] = field(default_factory=set)

    def walk(self, folder: Path, depth: int) -> None:
        """Take what `folder` holds and go down into its folders; a folder reached twice is taken once."""
        status = folder.stat()
        if (status.st_dev, status.st_ino) in self.visited:
            return
        self.visited.add((status.st_dev, status.st_ino))
        stems, folders, has_dataset = self._list(folder)
        images = next((name for name in LABEL_FOLDERS if name in folders), None)
        if has_dataset and images:
            self._take_channels(folder / images, self._list(folder / images)[0], folder / "dataset.json")
        elif any(stem.endswith("_0000") for stem in stems) or (folder.name in LABEL_FOLDERS and stems):
            self._take_channels(folder, stems, (folder if has_dataset else folder.parent) / "dataset.json")
        else:
            self._take_brats(folder, stems)
            for name in folders if depth else ():
                self.walk(folder / name, depth - 1)

    def _list(self, folder: Path) -> tuple[_Stems, list[str], bool]:
        """List a folder: NIfTI files by stem, folders, and whether dataset.json is there."""
        stems: dict[str, list[str]] = defaultdict(list)
        folders: list[str] = []
        try:
            with os.scandir(folder) as listing:
                entries = sorted((e for e in listing if not e.name.startswith(".")), key=lambda e: e.name)
        except OSError as error:
            raise PedsegError(f"{folder}: cannot be listed ({error.strerror}); mend its permissions") from error
        for entry in entries:
            stem = naming.nifti_stem(entry.name)
            if not self.labelled and naming.is_label_name(entry.name, stem):
                continue
            if entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110  (spares a Path for each file)
                self.broken[Path(entry.path)] = stem is not None
            elif entry.is_dir(follow_symlinks=stem is None):
                folders.append(entry.name)
                continue
            if stem is not None:
                stems[stem].append(entry.name)
        return stems, folders, any(entry.name == "dataset.json" for entry in entries)

    def _take_brats(self, folder: Path, stems: _Stems) -> None:
        for stem, names in stems.items():
            parts = naming.split_brats_name(stem)
            if parts is None:
                self.strays[folder] += names
            else:
                self._add(*parts, folder, names)

    def _take_channels(self, folder: Path, stems: _Stems, dataset: Path) -> None:
        """Take nnU-Net's numbered files, or the Decathlon's 4-D ones, and the labels beside their folder."""
        if not dataset.is_file():
            raise PedsegError(
                f"{folder}: no dataset.json here or in the folder above says which channel is which modality; copy the "
                f"one of the data set to {dataset}"
            )
        channels = self.channels[folder] = naming.read_channels(dataset, allow_missing=self.allow_missing)
        numbered = any(stem.endswith("_0000") for stem in stems)
        for stem, names in stems.items():
            parts = naming.split_numbered_name(stem) if numbered else None
            for modality, channel in channels.items():
                if not numbered:
                    self._add(stem, modality, folder, names, volume=channel)
                elif parts and parts[1] == channel:
                    self._add(parts[0], modality, folder, names)
        labels = folder.with_name(LABEL_FOLDERS.get(folder.name, folder.name))
        if self.labelled and labels != folder and labels.is_dir():
            for stem, names in self._list(labels)[0].items():
                self._add(stem, LABEL, labels, names)

    def _add(self, case: str, role: str, folder: Path, names: Sequence[str], *, volume: int | None = None) -> None:
        files = self.found.setdefault(case, {}).setdefault(role, [])
        files += [ImageFile(folder / name, volume) for name in names]

    def assemble(self, cohort: str) -> Discovery:
        """Make cases of what is complete and problems of the rest."""
        cases: list[Case] = []
        problems = [
            Problem(path.name, self._shown(path), "a link to nothing", "mend the link or remove it")
            for path, is_file in self.broken.items()
            if not is_file
        ]
        for case, files in sorted(self.found.items()):
            found = list(self._problems(case, files))
            problems += found
            if not found:
                stand_in = replace(next(files[m][0] for m in Modality if m in files), absent=True)
                images = tuple(files[modality][0] if modality in files else stand_in for modality in Modality)
                label = files[LABEL][0].path if self.labelled else None
                cases.append(Case(case, patient_of(case), cohort, images, label))
        seen = {role for files in self.found.values() for role in files}
        lacking = tuple(modality for modality in Modality if modality not in seen)
        problems.sort(key=lambda problem: problem.case)
        return Discovery(tuple(cases), tuple(problems), lacking, self._lone_labels())

    def _lone_labels(self) -> dict[str, Path]:
        """The label of each case that has one, and nothing else."""
        return {
            case: files[LABEL][0].path
            for case, files in self.found.items()
            if set(files) == {LABEL} and len(files[LABEL]) == 1 and files[LABEL][0].path not in self.broken
        }

    def _problems(self, case: str, files: Mapping[str, Sequence[ImageFile]]) -> Iterator[Problem]:
        """Say what keeps `case` from being one."""
        try:
            safe_name(case)
        except PedsegError as error:
            yield Problem(case, "", str(error), "rename the files of the case")
        every = [file.path for found in files.values() for file in found]
        for path in sorted(self.broken.keys() & set(every)) if self.broken else ():
            yield Problem(case, self._shown(path), "a link to nothing", "mend the link or remove it")
        yield from self._duplicates(case, files)
        if set(files) == {LABEL}:
            fix = "add the images, or name the label after the case that it is of"
            yield Problem(case, self._shown(every[0]), "a label without images", fix)
            return
        sibling = next(found[0].path for role, found in files.items() if role != LABEL)
        unknown = self.strays.get(sibling.parent, [])
        hint = f" (perhaps {', '.join(unknown)}, renamed)" if 0 < len(unknown) <= len(files) else ""
        needed = [] if self.allow_missing else list(Modality)
        for role in (*needed, *([LABEL] if self.labelled else [])):
            if role not in files:
                what = "no label" if role == LABEL else f"no {role} image"
                fix = f"add the file{hint} or remove the case{'' if role == LABEL else WITHOUT}"
                yield Problem(case, self._expected(case, role, sibling), what, fix)

    def _duplicates(self, case: str, files: Mapping[str, Sequence[ImageFile]]) -> Iterator[Problem]:
        """Report several files for one thing once, whether for one role or for whole folders."""
        seen: set[tuple[Path, ...]] = set()
        for role, found in ((role, found) for role, found in files.items() if len(found) > 1):
            paths = tuple(file.path for file in found)
            folders = tuple(sorted({path.parent for path in paths}))
            places = folders if len(folders) > 1 else paths
            if places not in seen:
                seen.add(places)
                what = (
                    f"the case is in {len(folders)} folders" if places is folders else f"{len(paths)} files for {role}"
                )
                yield Problem(case, ", ".join(map(self._shown, places)), what, "keep one of them")

    def _expected(self, case: str, role: str, sibling: Path) -> str:
        """Where a file that is missing should be, given another one of the case."""
        channels = self.channels.get(sibling.parent)
        if channels is None:
            return self._shown(sibling.with_name(naming.official_name(case, role, sibling=sibling.name)))
        if role == LABEL:
            folder = sibling.parent.with_name(LABEL_FOLDERS.get(sibling.parent.name, "labelsTr"))
            return self._shown(folder / f"{case}.nii.gz")
        return self._shown(sibling.with_name(f"{case}_{channels[Modality(role)]:04d}.nii.gz"))

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)
