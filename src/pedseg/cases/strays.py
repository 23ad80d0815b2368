"""Files in a cohort's folder that are of no case: second copies, other formats, archives, unknown names."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pedseg.cases.folder_names import bare_case
from pedseg.cases.formats import foreign_stem, told, unpacking
from pedseg.cases.gathered import Gathered
from pedseg.cases.listing import Listing
from pedseg.cases.naming import composed, read_name
from pedseg.errors import Problem, Severity

_SEEN = 3  # names of each folder that a message lists
Shown = Callable[[Path], str]


@dataclass(frozen=True, slots=True)
class Instead:
    """What lies where a file is missing.

    Attributes:
        path: of it.
        what: it is.
        fix: what to do about it.
    """

    path: Path
    what: str
    fix: str


@dataclass(slots=True)
class Strays:
    """What lies in a cohort's folder besides.

    Attributes:
        root: the cohort's folder.
        unknown: folder → names of NIfTI files that say no role.
        copies: case and role → files that are named as second copies.
        foreign: folder → images in other formats.
        forms: case and role → image in another format.
        archives: paths.
        others: names of some further files.
        too_deep: folders whose folders were not looked into.
        empty: folders that hold nothing.
    """

    root: Path
    unknown: dict[Path, list[str]] = field(default_factory=lambda: defaultdict(list))
    copies: dict[tuple[str, str], list[Path]] = field(default_factory=lambda: defaultdict(list))
    foreign: dict[Path, list[Path]] = field(default_factory=lambda: defaultdict(list))
    forms: dict[tuple[str, str], Path] = field(default_factory=dict)
    archives: list[Path] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    too_deep: list[Path] = field(default_factory=list)
    empty: list[Path] = field(default_factory=list)

    def take(self, folder: Path, listing: Listing) -> None:
        """Note what a folder holds."""
        for path in listing.foreign:
            self.foreign[folder].append(path)
            name = read_name(foreign_stem(path.name) or "")
            if name:
                self.forms[name.case or composed(bare_case(folder, self.root)), name.role] = path
        if listing.is_empty and folder != self.root:
            self.empty.append(folder)
        self.others += listing.others[: _SEEN - len(self.others)] if len(self.others) < _SEEN else []
        self.archives += [folder / name for name in listing.archives]

    def seen(self, unusable: Mapping[Path, str]) -> str:
        """What was seen, for the message that nothing of it is known, with what is neither file nor folder."""
        names = [name for names in self.unknown.values() for name in names[:_SEEN]]
        names += [path.name for paths in self.copies.values() for path in paths]
        names += [f"{path.name}, {what}" for path, what in unusable.items()]
        files = [path for paths in self.foreign.values() for path in paths]
        if files:
            what, fix = told(files[0])
            names.append(f"{len(files)} files like {files[0].name}, which {what}: {fix}")
        if self.archives:
            names.append(f"{self.archives[0].name}, an archive: {unpacking(self.archives[0])}")
        return ", ".join(names)[:400] or ", ".join(["no NIfTI file", *self.others])

    def instead(self, case: str, role: str) -> Instead | None:
        """What lies where a file of a case is missing: a second copy, or an image in another format."""
        for path in self.copies.get((case, role), ()):
            return Instead(path, "is named as a second copy", "name it as the first")
        other = self.forms.get((case, role))
        return Instead(other, *told(other)) if other else None

    def findings(self, gathered: Gathered, shown: Shown) -> Iterator[Problem]:
        """What is to be said of them beside the cases that were found."""
        yield from self._copies(gathered, shown)
        yield from self._foreign(gathered, shown)
        yield from self._folders(gathered, shown)
        for path in self.archives:
            what, fix = (
                "is an archive, which is not looked into",
                f"unpack it ({unpacking(path.name)}), or leave it out",
            )
            yield Problem(path.name, shown(path), what, fix, Severity.WARNING)
        if self.empty:
            what, fix = "is empty", "if a case belongs there, add its files"
            yield Problem(self.empty[0].name, _some(self.empty, shown), what, fix, Severity.WARNING)
        for folder in self.too_deep:
            what = "holds folders that are too deep to be looked into"
            yield Problem(folder.name, shown(folder), what, "give a folder further down", Severity.WARNING)

    def _copies(self, gathered: Gathered, shown: Shown) -> Iterator[Problem]:
        """Second copies of files that are there, or of all of a case; of others the case says what it lacks."""
        what, fix = "is named as a second copy", "remove it, or if it is the right one the other"
        for (case, role), paths in self.copies.items():
            if role in gathered.files.get(case, ()):
                for path in paths:
                    yield Problem(case, shown(path), f"{what}, and passed over", fix, Severity.WARNING)
            elif case not in gathered.files:
                yield Problem(case, shown(paths[0]), f"{what}, and the first is not there", "rename it")

    def _foreign(self, gathered: Gathered, shown: Shown) -> Iterator[Problem]:
        """Images in other formats of cases that have no NIfTI file, a row for each case or folder of the cohort."""
        for case in sorted({case for case, _ in self.forms} - gathered.files.keys()):
            paths = [path for (other, _), path in self.forms.items() if other == case]
            yield Problem(case, _some(paths, shown), *told(paths[0]))
        cases = _cases_below(gathered) if self.foreign else {}
        named = set(self.forms.values())
        tops: dict[str, list[Path]] = defaultdict(list)
        for folder, paths in self.foreign.items():
            beside = folder in cases or (folder.parent != self.root and len(cases.get(folder.parent, ())) == 1)
            if not beside:
                top = folder.relative_to(self.root).parts[:1] or (self.root.name,)
                tops[top[0]] += [path for path in paths if path not in named]
        for name, other in tops.items():
            if other:
                yield Problem(name, _some(other, shown), *told(other[0]))

    def _folders(self, gathered: Gathered, shown: Shown) -> Iterator[Problem]:
        """Folders of NIfTI files of which none is known by its name, a row for each folder above them."""
        taken = {path.parent for path in gathered.paths} if self.unknown else set()
        ids = tuple(gathered.files)
        known: list[Path] = []
        above: dict[Path, list[Path]] = defaultdict(list)
        for folder, names in self.unknown.items():
            if folder not in taken:
                of_cases = all(composed(name).startswith(ids) for name in names)
                (known if of_cases else above[folder.parent]).extend(folder / name for name in names)
        for paths, weight in ((known, Severity.NOTE), *((paths, Severity.WARNING) for paths in above.values())):
            if paths:
                what, fix = "is of no known name, and passed over", "if it is needed, name it as in other cases"
                yield Problem(paths[0].parent.name, _some(paths, shown), what, f"{fix}, or give a table", weight)


def _cases_below(gathered: Gathered) -> dict[Path, set[str]]:
    """Folder → cases with a file somewhere below it."""
    cases: dict[Path, set[str]] = defaultdict(set)
    for case, files in gathered.files.items():
        for folder in {above for found in files.values() for file in found for above in file.path.parents}:
            cases[folder].add(case)
    return cases


def _some(paths: Sequence[Path], shown: Shown) -> str:
    return f"{shown(paths[0])}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}"
