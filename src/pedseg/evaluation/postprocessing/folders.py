"""Rules of post-processing on folders of label maps; the raw label maps are read and never written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pedseg.cases.label_maps import (
    CONVENTION,
    POSTPROCESSED,
    RESTORE,
    Known,
    find_label_maps,
    label_map_case,
    list_label_maps,
)
from pedseg.data.parallel import run_parallel
from pedseg.errors import PedsegError, Problem, ProblemsError
from pedseg.files import sha256, write_json
from pedseg.imaging import read_label, write_label_map
from pedseg.imaging.label_values import Survey, check_values, survey
from pedseg.inference.postprocessing import Rule, apply_rules, relabel
from pedseg.labels import LabelConvention, Region, regions_from_labels
from pedseg.metrics.overlap import bounding_box
from pedseg.ownership import note
from pedseg.settings.record import Digest, Line, Record, RegionName, Sequenced

CASES_WORTH_A_PROCESS = 20  # starting one takes as long as processing so many
Change = Mapping[str, int]  # region → voxels that differ from the raw label map


@dataclass(frozen=True, slots=True)
class Applied:
    """What post-processing did to a folder.

    Attributes:
        rules: in the order of their application.
        convention: voxel labels of the label maps.
        inputs: SHA-256 of the raw label map of each case.
        changes: voxels that differ from the raw label map, by case and region.
    """

    rules: tuple[str, ...]
    convention: str
    inputs: Mapping[str, str]
    changes: Mapping[str, Change] = field(default_factory=dict)

    @property
    def changed_cases(self) -> int:
        """Number of cases with a voxel that differs."""
        return sum(any(change.values()) for change in self.changes.values())

    def agrees(self, other: "Applied", case: str) -> bool:
        """Whether another record has the same label map for a case."""
        rules = (self.rules, self.convention) == (other.rules, other.convention)
        return rules and case in self.inputs and self.inputs[case] == other.inputs.get(case)

    def write(self, folder: Path) -> None:
        """Write the record into the folder of the post-processed label maps."""
        content = {"rules": self.rules, CONVENTION: self.convention, "inputs": self.inputs, "changes": self.changes}
        write_json(folder / POSTPROCESSED, content)


class RulesRecord(Record):
    """What a record of `Applied` says."""

    rules: Annotated[tuple[Line, ...], Sequenced]
    convention: Line
    inputs: dict[Line, Digest]
    changes: dict[Line, dict[RegionName, Annotated[int, Field(ge=0)]]]


def read_applied(folder: Path) -> Applied | None:
    """Read the record of a folder of post-processed label maps; None if it has none.

    Raises:
        PedsegError: the record is damaged.
    """
    if not (folder / POSTPROCESSED).exists():
        return None
    said = RulesRecord.read(folder / POSTPROCESSED, fix=RESTORE)
    changes = {case: {str(region): count for region, count in one.items()} for case, one in said.changes.items()}
    return Applied(said.rules, said.convention, said.inputs, changes)


def postprocess_folder(
    predictions: Path,
    output: Path,
    rules: Sequence[Rule],
    *,
    convention: LabelConvention | Known,
    workers: int,
    overwrite: bool = False,
) -> Applied:
    """Write every label map of a folder, with rules applied, under its name into another one.

    Label maps that the same rules made of the same raw ones are kept. Files of several volumes are left out.

    Args:
        predictions: folder of ``<case id>.nii.gz`` or ``.nii``.
        output: folder to write; its rules.json tells how the label maps were made, and in which voxel labels they are.
        rules: to apply in this order; with none the label maps are copied.
        convention: voxel labels of the label maps, and who says so where messages are to tell it.
        workers: most processes; few cases get fewer.
        overwrite: replace label maps of these cases, whatever they are.

    Returns:
        What was done, also to the cases that were kept.

    Raises:
        PedsegError: there is no label map, or `output` holds ones made in another way. Nothing has been written then.
        ProblemsError: some label maps hold labels that the convention lacks (nothing has been written then), or could
            not be processed; the others have been.
    """
    known = convention if isinstance(convention, Known) else Known(convention, "by the cohort's settings", stated=True)
    files, surveyed = survey_folder(predictions, known)
    labels = known.convention
    digests = {case: sha256(path) for case, path in files.items() if path in surveyed.values}
    applied = Applied(tuple(map(str, rules)), str(labels), digests)
    kept = prepare_output(predictions, output, applied, overwrite=overwrite)
    waiting = [(path, output / path.name) for case, path in files.items() if case in digests and case not in kept]
    note(output, [POSTPROCESSED, *(path.name for _, path in waiting)])
    job = partial(_postprocess, rules=tuple(rules), convention=labels)
    results = list(run_parallel(job, waiting, workers=worthwhile(workers, len(waiting)), description="post-processing"))
    made = zip(waiting, results, strict=True)
    changes = kept | {_case(path): result for (path, _), result in made if not isinstance(result, Problem)}
    done = Applied(applied.rules, applied.convention, applied.inputs, dict(sorted(changes.items())))
    done.write(output)
    problems = [_unusable(path, why) for path, why in surveyed.unreadable.items()]
    problems += [result for result in results if isinstance(result, Problem)]
    if problems:
        raise ProblemsError(f"{len(problems)} of {len(files)} label maps could not be post-processed:", problems)
    return done


def survey_folder(folder: Path, known: Known) -> tuple[dict[str, Path], Survey]:
    """File of each case of a folder of label maps, and the voxel labels of all of them.

    Raises:
        PedsegError: there is no label map, or several of one case.
        ProblemsError: some hold labels that the convention lacks.
    """
    files = find_label_maps(folder)
    surveyed = survey(list(files.values()))
    check_values(surveyed.values, known, option="--convention")
    return {case: path for case, path in files.items() if path not in surveyed.others}, surveyed


def prepare_output(predictions: Path, output: Path, planned: Applied, *, overwrite: bool) -> dict[str, Change]:
    """Check that `output` may be written, note in it what is going to be made, and tell what is there already.

    With `overwrite` the label maps of the planned cases are removed, and with them the scores, so that a run that is
    cut off leaves nothing that does not fit together.

    Returns:
        The changes of each case whose label map is there and is kept.

    Raises:
        PedsegError: `output` is the folder of the raw label maps, or holds label maps that were made otherwise.
    """
    if output.resolve() == predictions.resolve():
        raise PedsegError(f"{output} holds the raw label maps, which stay as they are; give another output folder")
    present = {case: paths[0] for case, paths in (list_label_maps(output) if output.is_dir() else {}).items()}
    before = read_applied(output)
    replaced = set(present) & set(planned.inputs) if overwrite else set()
    staying = [case for case in present if case not in replaced]
    for case in staying:
        if before is None or not before.agrees(planned, case):
            raise PedsegError(
                f"{present[case]} was made by other rules or of another label map; move {output} away, give another "
                "output, or overwrite (which replaces label maps of the same cases only)"
            )
    if replaced:
        (output / "scores.csv").unlink(missing_ok=True)
        for case in replaced:
            present[case].unlink()
    kept = {case: before.changes[case] for case in staying if before and case in before.changes}
    Applied(planned.rules, planned.convention, planned.inputs, kept).write(output)
    return kept


def worthwhile(workers: int, cases: int) -> int:
    """How many of so many processes pay for so many cases."""
    return max(1, min(workers, cases // CASES_WORTH_A_PROCESS))


def read_checked_label(path: Path, convention: LabelConvention) -> NDArray[np.integer]:
    """Read a label map (Z, Y, X) whose voxel labels are those of a convention.

    Raises:
        PedsegError: it cannot be read, or holds another label.
    """
    label = read_label(path)
    foreign = sorted(set(np.unique(label).tolist()) - convention.values)
    if foreign:
        shown = ", ".join(map(str, foreign[:5]))
        raise PedsegError(f"{path}: holds label {shown}, which {convention} lacks; give the convention it is in")
    return label


def _postprocess(job: tuple[Path, Path], *, rules: tuple[Rule, ...], convention: LabelConvention) -> Change | Problem:
    """Process one label map and write it; the voxels that differ by region, or what is wrong."""
    path, output = job
    try:
        label = read_checked_label(path, convention)
        box = bounding_box(label != 0) or (slice(0, 0),) * label.ndim
        before = regions_from_labels(label[box], convention)
        after = apply_rules(before, rules)
        result = label.copy()
        result[box] = relabel(label[box], before, after, convention)
        write_label_map(output, result, like=path)
    except (PedsegError, OSError, MemoryError) as error:
        return _unusable(path, str(error))
    differing = np.count_nonzero(before != after, axis=(1, 2, 3))
    return {str(region): int(count) for region, count in zip(Region, differing, strict=True)}


def _unusable(path: Path, why: str) -> Problem:
    return Problem(_case(path), path.name, why, "mend the file and run the command again")


def _case(path: Path) -> str:
    return label_map_case(path.name) or path.name
