"""Folders of label maps in the names and the voxel labels that nnU-Net and BraTS use."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pedseg.cases.label_maps import (
    CONVENTION,
    PREDICTED,
    find_label_maps,
    known_convention,
    list_label_maps,
    read_record,
)
from pedseg.errors import PedsegError, Problem, ProblemsError
from pedseg.files import safe_name, sha256, write_json
from pedseg.imaging import read_label, write_label_map
from pedseg.imaging.label_values import Survey, check_values, survey
from pedseg.labels import CONVENTIONS, LabelConvention, read_convention

OPTION = "--from"


@dataclass(frozen=True, slots=True)
class Naming:
    """How a label map is called and which voxel labels go with it.

    Attributes:
        suffix: what follows the case's id in the name.
        convention: its voxel labels.
        ignore: voxel label of what is ignored, if there is one.
    """

    suffix: str
    convention: LabelConvention
    ignore: int | None = None


NAMINGS: Final[Mapping[str, Naming]] = {
    # Consecutive labels with oedema first, as nnU-Net converts BraTS; the label to ignore has to be the highest.
    "nnunet": Naming("", CONVENTIONS["msd_task01"], ignore=4),
    "brats2023": Naming("-seg", CONVENTIONS["brats2023"]),
    "brats2021": Naming("_seg", CONVENTIONS["brats2021"]),
}


@dataclass(frozen=True, slots=True)
class Converted:
    """What was converted.

    Attributes:
        count: label maps that are in the output now.
        source: voxel labels that they had, and who says so.
        target: voxel labels that they have.
    """

    count: int
    source: str
    target: LabelConvention


def convert_label_maps(
    folder: Path, output: Path, *, naming: str, source: str | None, target: str | None = None, overwrite: bool = False
) -> Converted:
    """Write every label map of `folder` into `output` under the names and with the voxel labels of `naming`.

    The grid stays, bit for bit. Of tissues with several labels (BraTS-PEDs 2024) the first is written; labels of no
    tissue become 0 where the other convention has none such, but ignored ones never do: nnU-Net has 4 for them. A
    conversion that was cut off continues. Files of several volumes (probabilities) are left out.

    Args:
        folder: label maps, named as `pedseg.cases.label_maps.label_map_case` understands.
        output: another folder; its predictions.json tells in which voxel labels the label maps are.
        naming: a key of `NAMINGS`.
        source: label convention that the label maps have; None for the one recorded beside them, or brats2023.
        target: label convention to write; that of the naming if None. Both as `read_convention` takes them.
        overwrite: replace label maps that are in `output`.

    Raises:
        PedsegError: a setting is unknown or contradicts the record, the folder holds no label map or two of one case,
            one would be replaced, ignored voxels would become background, or `output` holds label maps in other voxel
            labels. Nothing has been written then.
        ProblemsError: some hold labels that `source` lacks (nothing has been written then), or could not be read; the
            rest have been written.
    """
    form = NAMINGS[naming]
    before = known_convention(folder, source, option=OPTION)
    if output.resolve() == folder.resolve():
        raise PedsegError(f"{folder} is given as input and as output; give two folders")
    paths = {safe_name(case): path for case, path in find_label_maps(folder).items()}
    surveyed = survey(list(paths.values()))
    check_values(surveyed.values, before, option=OPTION)
    after = _target(before.convention, surveyed.every, form, target)
    files = {path: output / f"{case}{form.suffix}.nii.gz" for case, path in paths.items() if path in surveyed.values}
    record = {CONVENTION: str(after), "converted_from": str(before.convention)}
    kept = _claim(output, files, record, overwrite=overwrite)
    problems = _unusable(surveyed)
    for path, destination in files.items():
        if destination not in kept:
            try:
                write_label_map(destination, _relabelled(path, before.convention, after), like=path)
            except (PedsegError, OSError, MemoryError) as error:
                problems.append(Problem(path.name, "", str(error), "mend the file and run the command again"))
    if problems:
        total = len(paths) - len(surveyed.others)
        raise ProblemsError(f"{len(problems)} of {total} label maps could not be converted:", problems)
    return Converted(len(files), before.explained(surveyed.every), after)


def _target(before: LabelConvention, found: frozenset[int], form: Naming, asked: str | None) -> LabelConvention:
    """Voxel labels to write.

    Raises:
        PedsegError: ignored labels are found, and the convention has none for them.
    """
    after = read_convention(asked) if asked else form.convention
    ignored = sorted(found.intersection(before.ignore))
    if ignored and not asked and form.ignore:
        return replace(after, name="custom", ignore=(form.ignore,))
    if ignored and not after.ignore:
        example = replace(CONVENTIONS["brats2023"], name="custom", ignore=(4,))
        raise PedsegError(
            f"label {', '.join(map(str, ignored))} is ignored in {before}, and {after} has no such label, so that it "
            f"would become background; give another convention, such as --to {example.option}"
        )
    return after


def _unusable(surveyed: Survey) -> list[Problem]:
    fix = "mend the file and run the command again"
    return [Problem(path.name, "", why, fix) for path, why in surveyed.unreadable.items()]


def _claim(output: Path, files: Mapping[Path, Path], record: dict[str, Any], *, overwrite: bool) -> set[Path]:
    """Note in `output` what its label maps will be, and tell which of them are there from a run that was cut off.

    Raises:
        PedsegError: label maps would be replaced, or are there in voxel labels that are others, or that nobody knows.
    """
    note = output / PREDICTED
    before = read_record(note)
    inputs = {path.name: sha256(path) for path in files}
    same = before | {"inputs": None} == record | {"inputs": None}
    made = before.get("inputs", {}) if same else {}
    present = {path for paths in (list_label_maps(output) if output.is_dir() else {}).values() for path in paths}
    planned = present & set(files.values())
    kept = {files[path] for path in files if files[path] in present and made.get(path.name) == inputs[path.name]}
    if planned and not overwrite and (planned != kept or len(kept) == len(files)):
        raise PedsegError(f"{min(planned)} exists; give another --output, or --overwrite")
    if present - planned and before.get(CONVENTION) != record[CONVENTION]:
        raise PedsegError(
            f"{output} holds other label maps ({min(present - planned).name} …), which are not known to be in "
            f"{record[CONVENTION]}; give another --output"
        )
    for path in planned if overwrite else ():
        path.unlink()  # so that one which is cut off leaves none of the old ones behind
    write_json(note, record | {"inputs": made | inputs})
    return set() if overwrite else kept


def _relabelled(path: Path, before: LabelConvention, after: LabelConvention) -> NDArray[np.uint8]:
    table = np.zeros(max(before.values) + 1, dtype=np.uint8)
    written = after.by_meaning
    for meaning, labels in before.by_meaning.items():
        table[list(labels)] = written[meaning][0] if written[meaning] else 0
    relabelled: NDArray[np.uint8] = table[read_label(path)]
    return relabelled
