"""Folders of label maps in the names and the voxel labels that nnU-Net and BraTS use."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pedseg.cases.naming import LABEL, nifti_stem, split_brats_name
from pedseg.errors import PedsegError, Problem, ProblemsError
from pedseg.files import safe_name
from pedseg.imaging import read_label, write_label_map
from pedseg.labels import CONVENTIONS, LabelConvention, get_convention


@dataclass(frozen=True, slots=True)
class Naming:
    """How a label map is called and which voxel labels go with it.

    Attributes:
        suffix: what follows the case's id in the name.
        convention: its voxel labels.
    """

    suffix: str
    convention: LabelConvention


NAMINGS: Final[Mapping[str, Naming]] = {
    "nnunet": Naming("", CONVENTIONS["msd_task01"]),  # consecutive labels with oedema first, as nnU-Net converts BraTS
    "brats2023": Naming("-seg", CONVENTIONS["brats2023"]),
    "brats2021": Naming("_seg", CONVENTIONS["brats2021"]),
}


def convert_label_maps(
    folder: Path, output: Path, *, naming: str, source: str, target: str | None = None, overwrite: bool = False
) -> int:
    """Write every label map of `folder` into `output` under the names and with the voxel labels of `naming`.

    The grid stays, bit for bit. Of tissues with several labels (BraTS-PEDs 2024) the first is written.

    Args:
        folder: label maps called ``<case id>``, ``<case id>-seg`` or ``<case id>_seg``, compressed or not.
        output: another folder.
        naming: a key of `NAMINGS`.
        source: label convention that the label maps have.
        target: label convention to write; that of the naming if None.
        overwrite: replace label maps that are in `output`.

    Returns:
        How many were written.

    Raises:
        PedsegError: a setting is unknown, the folder holds no label map, holds two of one case, or one would be
            replaced. Nothing has been written then.
        ProblemsError: some could not be read or hold other labels; the rest have been written.
    """
    form = NAMINGS[naming]
    before = get_convention(source)
    after = get_convention(target) if target else form.convention
    if output.resolve() == folder.resolve():
        raise PedsegError(f"{folder} is given as input and as output; give two folders")
    files = {output / f"{case}{form.suffix}.nii.gz": path for case, path in _by_case(folder).items()}
    present = [path for path in files if path.exists()]
    if present and not overwrite:
        raise PedsegError(f"{present[0]} exists; give another --output, or --overwrite")
    problems = []
    for destination, path in files.items():
        try:
            write_label_map(destination, _relabelled(path, before, after), like=path)
        except PedsegError as error:
            problems.append(Problem(path.name, "", str(error), "mend the file, or say which labels it has (--from)"))
    if problems:
        raise ProblemsError(f"{len(problems)} of {len(files)} label maps could not be converted:", problems)
    return len(files)


def _by_case(folder: Path) -> dict[str, Path]:
    """File of each case."""
    if not folder.is_dir():
        raise PedsegError(f"{folder}: no such folder; give the folder that holds the label maps")
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        stem = None if path.name.startswith(".") else nifti_stem(path.name)
        if stem:
            case, role = split_brats_name(stem) or (stem, LABEL)
            found[safe_name(case if role == LABEL else stem)].append(path)
    if not found:
        raise PedsegError(f"{folder}: no label map in it; give a folder of <case id>.nii.gz")
    for case, paths in found.items():
        if len(paths) > 1:
            raise PedsegError(f"{folder}: {' and '.join(p.name for p in paths)} are both of {case}; keep one of them")
    return {case: paths[0] for case, paths in found.items()}


def _relabelled(path: Path, before: LabelConvention, after: LabelConvention) -> NDArray[np.uint8]:
    label = read_label(path)
    foreign = sorted(set(np.unique(label).tolist()) - before.values)
    if foreign:
        raise PedsegError(f"holds label {', '.join(map(str, foreign[:5]))}, which {before} lacks")
    table = np.zeros(max(before.values) + 1, dtype=np.uint8)
    for old, new in ((before.et, after.et), (before.nc, after.nc), (before.ed, after.ed)):
        table[list(old)] = new[0]
    relabelled: NDArray[np.uint8] = table[label]
    return relabelled
