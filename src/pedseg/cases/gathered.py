"""From files by case and role, wherever they were found, to cases that are complete and problems of the rest."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from pedseg.cases.case import Case, Discovery, ImageFile
from pedseg.cases.listing import remedy
from pedseg.cases.naming import composed
from pedseg.cases.patients import patient_of, same_text
from pedseg.cases.spellings import AUTOMATED, LABEL
from pedseg.errors import PedsegError, Problem, Severity
from pedseg.files import safe_name
from pedseg.labels import Modality

WITHOUT = "; `pedseg predict --allow-missing` does without it"
Files = dict[str, list[ImageFile]]  # role → files


class Source(Protocol):
    """Where files were found, as messages speak of it."""

    def shown(self, path: Path) -> str:
        """A file that is there."""
        ...

    def missing(self, case: str, role: str) -> tuple[str, str]:
        """A file that is not there: what it would be called, and what else to say; the second may be empty."""
        ...


@dataclass(slots=True)
class Gathered:
    """Files by case and role.

    Attributes:
        files: case → role → files.
        unusable: file → what it is, of those that are named as a file of a case and are none.
        findings: what is to be said besides; a problem in a case's name keeps it from being one.
        patients: case → patient, where something else than its id says it.
        ignored: voxel labels that a dataset.json says are ignored.
    """

    files: dict[str, Files] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    unusable: dict[Path, str] = field(default_factory=dict)
    findings: list[Problem] = field(default_factory=list)
    patients: dict[str, str] = field(default_factory=dict)
    ignored: set[int] = field(default_factory=set)

    def add(self, case: str, role: str, path: Path, *, volume: int | None = None) -> None:
        """Note a file of a case; ids are compared in Unicode's composed form."""
        self.files[composed(case)][role].append(ImageFile(path, volume))

    @property
    def imaged(self) -> set[str]:
        """Ids of which there is an image."""
        return {case for case, files in self.files.items() if any(role in files for role in Modality)}

    @property
    def paths(self) -> Iterator[Path]:
        """Every file."""
        return (file.path for files in self.files.values() for found in files.values() for file in found)

    def sorted_out(self, source: Source, *, cohort: str, labelled: bool, allow_missing: bool) -> Discovery:
        """Make cases of what is complete and problems of the rest.

        Args:
            source: where the files were found.
            cohort: name given to the cases.
            labelled: whether each case must have a label.
            allow_missing: whether a case may lack modalities, as long as it has one.
        """
        needed = (*(() if allow_missing else Modality), *([LABEL] if labelled else ()))
        check = _Check(source, needed, self.unusable)
        for files in self.files.values():
            if AUTOMATED in files and LABEL not in files:
                files[LABEL] = files[AUTOMATED]
        problems = [*self.findings, *_alike(self.files)]
        bad = {problem.case for problem in problems if problem.severity is Severity.PROBLEM}
        cases: list[Case] = []
        for case_id, files in sorted(self.files.items()):
            found = list(check.problems(case_id, files))
            problems += found
            if not found and case_id not in bad:
                cases.append(self._case(case_id, files, cohort=cohort, labelled=labelled))
        problems.sort(key=lambda problem: problem.case)
        seen = {role for files in self.files.values() for role in files}
        return Discovery(
            tuple(cases),
            tuple(problem for problem in problems if problem.severity is Severity.PROBLEM),
            tuple(role for role in (*Modality, *([LABEL] if labelled else ())) if role not in seen),
            self._lone_labels(bad),
            tuple(problem for problem in problems if problem.severity is not Severity.PROBLEM),
            frozenset(self.ignored),
        )

    def _case(self, case_id: str, files: Files, *, cohort: str, labelled: bool) -> Case:
        stand_in = replace(next(files[m][0] for m in Modality if m in files), absent=True)
        images = tuple(files[modality][0] if modality in files else stand_in for modality in Modality)
        patient = self.patients.get(case_id) or patient_of(case_id)
        return Case(case_id, patient, cohort, images, files[LABEL][0].path if labelled else None)

    def _lone_labels(self, bad: Collection[str]) -> dict[str, Path]:
        """The label of each case that has one, and nothing else, and no other problem."""
        return {
            case: files[LABEL][0].path
            for case, files in self.files.items()
            if case not in bad
            and set(files) <= {LABEL, AUTOMATED}
            and len(files[LABEL]) == 1
            and files[LABEL][0].path not in self.unusable
        }


def _alike(ids: Mapping[str, Files]) -> Iterator[Problem]:
    """Ids that are one on file systems that ignore the case of letters, and whose label maps would be one file."""
    same: dict[str, list[str]] = defaultdict(list)
    for case in ids:
        same[same_text(case)].append(case)
    for cases in (sorted(cases) for cases in same.values() if len(cases) > 1):
        others = " and ".join(map(repr, cases))
        for case in cases:
            yield Problem(case, "", f"{others} differ in the case of letters only", "give each case a name of its own")


@dataclass(frozen=True, slots=True)
class _Check:
    """What keeps cases from being some.

    Attributes:
        source: where the files were found.
        needed: roles that each case must have.
        unusable: file → what it is.
    """

    source: Source
    needed: tuple[str, ...]
    unusable: Mapping[Path, str]

    def problems(self, case: str, files: Files) -> Iterator[Problem]:
        """Say what keeps `case` from being one."""
        try:
            safe_name(case)
        except PedsegError as error:
            yield Problem(case, "", str(error), "rename the files of the case")
        every = [file.path for found in files.values() for file in found]
        for path in sorted(self.unusable.keys() & set(every)) if self.unusable else ():
            yield Problem(case, self.source.shown(path), self.unusable[path], remedy(self.unusable[path]))
        yield from self._duplicates(case, files)
        if set(files) <= {LABEL, AUTOMATED}:
            fix = "add the images, or name the label after the case that it is of"
            yield Problem(case, self.source.shown(every[0]), "a label without images", fix)
            return
        for role in (role for role in self.needed if role not in files):
            file, hint = self.source.missing(case, role)
            what = "no label" if role == LABEL else f"no {role} image"
            fix = f"add the file{hint} or remove the case{'' if role == LABEL else WITHOUT}"
            yield Problem(case, file, what, fix)

    def _duplicates(self, case: str, files: Files) -> Iterator[Problem]:
        """Report several files for one thing once, whether for one role or for whole folders."""
        seen: set[tuple[Path, ...]] = set()
        for role, found in ((role, found) for role, found in files.items() if len(found) > 1 and role != AUTOMATED):
            paths = tuple(file.path for file in found)
            folders = tuple(sorted({path.parent for path in paths}))
            places = folders if len(folders) > 1 else paths
            if places not in seen:
                seen.add(places)
                what = (
                    f"the case is in {len(folders)} folders" if places is folders else f"{len(paths)} files for {role}"
                )
                yield Problem(case, ", ".join(self._told_apart(places)), what, "keep one of them")

    def _told_apart(self, places: Sequence[Path]) -> list[str]:
        """Places as text, with escapes where only the spelling in Unicode tells one from the other."""
        shown = [self.source.shown(place) for place in places]
        return shown if len({composed(text) for text in shown}) == len(shown) else [ascii(text) for text in shown]
