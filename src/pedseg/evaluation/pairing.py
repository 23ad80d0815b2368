"""Which label map belongs to which label: found, and complained about, before anything is computed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pedseg.cases import Case, find_cases
from pedseg.errors import PedsegError, Problem, ProblemsError

LABEL_SUFFIXES = ("-seg", "_seg")
ENDINGS = (".nii.gz", ".nii")


@dataclass(frozen=True, slots=True)
class Pair:
    """The two files of one case.

    Attributes:
        case: id of the case.
        prediction: label map to score.
        label: label to score it against.
    """

    case: str
    prediction: Path
    label: Path


def pair_cases(predictions: Path, cases: Sequence[Case]) -> list[Pair]:
    """Pair ``<predictions>/<case id>.nii.gz`` (or ``.nii``) with the label of each case.

    Raises:
        ProblemsError: label maps are missing or doubtful, or a case has no label; all of them are listed.
        PedsegError: there is no case or no such folder.
    """
    if not cases:
        raise PedsegError("no case to score was given")
    found = _label_maps(predictions)
    problems = list(_unpaired(predictions, found, [case.id for case in cases]))
    problems += [
        Problem(case.id, "", "the case has no label", "leave it out, or add its label")
        for case in cases
        if case.label is None
    ]
    _refuse(problems, f"{predictions}: cannot be scored")
    return [Pair(case.id, found[case.id][0], case.label) for case in cases if case.label]


def pair_folder(predictions: Path, labels: Path, *, subset: bool = False) -> list[Pair]:
    """Pair a folder of label maps with a folder of labels.

    The labels are files named ``<case id>-seg``, ``<case id>_seg`` or, if none is called so, ``<case id>``; or, if
    there is no such file, the cases that `find_cases` finds.

    Args:
        predictions: folder of ``<case id>.nii.gz`` or ``.nii``.
        labels: folder of labels.
        subset: leave out labels without a label map (one fold's predictions against a whole cohort). By default each
            label must have one, so that a case that was not predicted cannot go missing from a mean.

    Raises:
        ProblemsError: label maps or labels are missing or doubtful; all of them are listed.
        PedsegError: a folder is absent or empty, or both are one.
    """
    if predictions.resolve() == labels.resolve():
        raise PedsegError(f"{predictions} is given as predictions and as labels; give two folders")
    found = _label_maps(predictions)
    if not found:
        raise PedsegError(f"{predictions}: no label map in it; give a folder of <case id>.nii.gz")
    truth, problems = _find_labels(labels)
    reported = {problem.case for problem in problems}
    problems = [problem for problem in problems if not subset or problem.case in found]
    problems += [
        Problem(name, found[name][0].name, f"has no label in {labels}", "add the label, or move the label map away")
        for name in sorted(set(found) - set(truth) - reported)
    ]
    names = sorted(set(truth) & set(found) if subset else truth)
    problems += _unpaired(predictions, found, names)
    _refuse(problems, f"{predictions}: cannot be scored against {labels}")
    return [Pair(name, found[name][0], truth[name]) for name in names]


def _refuse(problems: Sequence[Problem], summary: str) -> None:
    if problems:
        count = len({problem.case for problem in problems})
        raise ProblemsError(f"{summary}, {count} {'case has' if count == 1 else 'cases have'} problems:", problems)


def _unpaired(predictions: Path, found: Mapping[str, Sequence[Path]], names: Iterable[str]) -> Iterable[Problem]:
    """Cases whose label map is not there, or there twice."""
    for name in names:
        files = found.get(name, ())
        if not files:
            fix = "predict the case, or score a subset (--subset) and say so"
            yield Problem(name, f"{name}.nii.gz", f"is not in {predictions}", fix)
        elif len(files) > 1:
            yield Problem(name, ", ".join(f.name for f in files), "several label maps of one case", "keep one of them")


def _label_maps(folder: Path) -> dict[str, list[Path]]:
    """NIfTI files of a folder by name without the ending."""
    if not folder.is_dir():
        raise PedsegError(f"{folder}: no such folder; give the folder that holds the label maps")
    files: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        ending = next((e for e in ENDINGS if path.name.endswith(e)), None)
        if ending and not path.name.startswith("."):
            files[path.name.removesuffix(ending)].append(path)
    return dict(files)


def _find_labels(folder: Path) -> tuple[dict[str, Path], list[Problem]]:
    """Label file of each case, and what keeps others from having one."""
    files = _label_maps(folder)
    if not files:
        discovery = find_cases(folder, cohort="labels", labelled=True)
        return {case.id: case.label for case in discovery.cases if case.label}, list(discovery.problems)
    named = {stem: paths for stem, paths in files.items() if stem.endswith(LABEL_SUFFIXES)} or files
    by_case: dict[str, list[Path]] = defaultdict(list)
    for stem, paths in named.items():
        suffix = next((s for s in LABEL_SUFFIXES if stem.endswith(s)), "")
        by_case[stem.removesuffix(suffix)] += paths
    problems = [
        Problem(name, ", ".join(path.name for path in paths), "several labels of one case", "keep one of them")
        for name, paths in by_case.items()
        if len(paths) > 1
    ]
    return {name: paths[0] for name, paths in by_case.items()}, problems
