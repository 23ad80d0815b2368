"""Which label map belongs to which label: found, and complained about, before anything is computed."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pedseg.cases import Case, find_cases
from pedseg.cases.case_table import is_table
from pedseg.cases.label_maps import label_map_case, list_label_maps
from pedseg.cases.naming import composed, is_label_name, nifti_stem, read_name, without_automatic
from pedseg.errors import PedsegError, Problem, ProblemsError
from pedseg.imaging.label_values import has_several_volumes

logger = logging.getLogger(__name__)


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
    """Pair the label maps of a folder with the labels of cases.

    Raises:
        ProblemsError: label maps are missing or doubtful, or a case has no label; all of them are listed.
        PedsegError: there is no case or no such folder.
    """
    if not cases:
        raise PedsegError("no case to score was given")
    found = list_label_maps(predictions)
    problems = list(_unpaired(predictions, found, [case.id for case in cases]))
    problems += [
        Problem(case.id, "", "the case has no label", "leave it out, or add its label")
        for case in cases
        if case.label is None
    ]
    _refuse(problems, f"{predictions}: cannot be scored")
    return [Pair(case.id, found[case.id][0], case.label) for case in cases if case.label]


def pair_folder(predictions: Path, labels: Path, *, subset: bool = False) -> list[Pair]:
    """Pair a folder of label maps with a folder of labels; `label_map_case` tells the case of a file.

    The labels are the files in the folder that are named as labels (``<case id>-seg``) or, if none is, all of them; or,
    if it holds no NIfTI file or is a table, those of the cases that `find_cases` finds, with images or without. Files
    of several volumes (probabilities) beside the label maps are passed over.

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
    found = list_label_maps(predictions)
    if not found:
        raise PedsegError(f"{predictions}: no label map in it; give a folder of <case id>.nii.gz")
    truth, problems = find_labels(labels)
    reported = {problem.case for problem in problems}
    problems = [problem for problem in problems if not subset or problem.case in found]
    problems += _without_label(found, sorted(set(found) - set(truth) - reported), labels)
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


def _without_label(found: Mapping[str, Sequence[Path]], names: Iterable[str], labels: Path) -> Iterable[Problem]:
    """Label maps that there is no label for; what is no label map needs none."""
    for name in names:
        if not all(map(_is_other, found[name])):
            fix = "add the label, or move the label map away"
            yield Problem(name, found[name][0].name, f"has no label in {labels}", fix)


def _is_other(path: Path) -> bool:
    try:
        return has_several_volumes(path)
    except PedsegError:  # a damaged label map is one all the same
        return False


def find_labels(folder: Path) -> tuple[dict[str, Path], list[Problem]]:
    """Label file of each case, and what keeps others from having one."""
    by_case = {} if is_table(folder) else list_label_maps(folder)
    if not by_case:
        return _find_in_tree(folder)
    by_case = _labels_alone(by_case)
    automated = [path.name for paths in by_case.values() for path in paths if _is_automated(path)]
    if automated:
        logger.warning(
            "%s: %d labels are automated approximations (%s …), which nobody has corrected: scores are agreement with "
            "them", folder, len(automated), min(automated),
        )  # fmt: skip
    problems = [
        Problem(name, ", ".join(path.name for path in paths), "several labels of one case", "keep one of them there")
        for name, paths in by_case.items()
        if len(paths) > 1
    ]
    return {name: paths[0] for name, paths in by_case.items()}, problems


def _labels_alone(by_case: Mapping[str, list[Path]]) -> dict[str, list[Path]]:
    """Without images and other files beside labels, as far as names tell them.

    Where as many files as not are named as labels, the others are none; else a name such as ``no_gt`` is an accident.
    """
    named = {case: [path for path in paths if _is_named(path)] for case, paths in by_case.items()}
    others = {
        case: [path for path in paths if not _is_named(path) and not _is_image(path)] for case, paths in by_case.items()
    }
    if sum(map(len, named.values())) < sum(map(len, others.values())):
        named = {case: paths or others[case] for case, paths in named.items()}
    return {case: paths for case, paths in named.items() if paths} or dict(by_case)


def _find_in_tree(folder: Path) -> tuple[dict[str, Path], list[Problem]]:
    """As `find_labels`, where labels lie in folders below: beside images, alone, or named as the folder is."""
    try:
        discovery = find_cases(folder, cohort="labels", labelled=True)
    except PedsegError:
        named = {path: composed(path.parent.name) for path in folder.glob("*/*")}
        alone = {case: path for path, case in named.items() if label_map_case(path.name) == case}
        if not alone:
            raise
        return alone, []
    discovery.say()
    found = {case.id: case.label for case in discovery.cases if case.label} | dict(discovery.lone_labels)
    return found, [problem for problem in discovery.problems if problem.case not in discovery.lone_labels]


def _is_automated(path: Path) -> bool:
    """Whether a file's name says that nobody has corrected it."""
    said = read_name(nifti_stem(path.name) or "")
    return said is not None and without_automatic(said.case) != said.case


def _is_named(path: Path) -> bool:
    """Whether a file's name says that it is a label."""
    return is_label_name(path.name, nifti_stem(path.name))


def _is_image(path: Path) -> bool:
    """Whether a file's name says that it is a sequence."""
    said = read_name(nifti_stem(path.name) or "")
    return said is not None and not _is_named(path)
