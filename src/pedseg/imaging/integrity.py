"""What can be wrong with the files of a cohort.

Each case is inspected once and gives facts, which can be kept; problems are told from the facts of all cases.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.cases import Case, Discovery, ImageFile
from pedseg.errors import Problem
from pedseg.imaging.nifti import ImageError, Volume, decode, extract_volume, integer_label, read_bytes
from pedseg.labels import CaseEvidence, LabelConvention, Modality, measure_labels

AFFINE_TOLERANCE_MM = 1e-2  # headers hold single precision; anything a user would call a shift is larger
LABEL = "label"


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What one look at the files of a case told.

    Attributes:
        hashes: content of each file that could be read, by modality and ``"label"``.
        problems: what is wrong with the case whatever the convention and the other cases are.
        evidence: voxel labels; None without a readable label.
    """

    hashes: Mapping[str, str]
    problems: tuple[Problem, ...]
    evidence: CaseEvidence | None


def inspect_case(case: Case) -> CaseFacts:
    """Read every file of a case once, and its label only if it has one."""
    reader = _Reader(case)
    volumes = {modality: reader.read(modality, file) for modality, file in zip(Modality, case.images, strict=True)}
    found = {modality: volume for modality, volume in volumes.items() if volume is not None}
    for modality, volume in found.items():
        reader.problems += _voxel_problems(case, modality, volume)
    reader.problems += _grid_problems(case, found)
    reader.problems += _twin_problems(case, reader.hashes)
    evidence = _inspect_label(reader, case.label, volumes) if case.label else None
    return CaseFacts(reader.hashes, tuple(reader.problems), evidence)


def check_cohort(
    discovery: Discovery, convention: LabelConvention | None, *, facts: Mapping[str, CaseFacts]
) -> list[Problem]:
    """List everything wrong with a cohort, in the order of its cases.

    Args:
        discovery: the cases, and those that are incomplete.
        convention: of the labels; None for an unlabelled cohort, or while it is not known.
        facts: of each case, from `inspect_case`.
    """
    problems = [*discovery.problems]
    for case in discovery.cases:
        problems += facts[case.id].problems
        evidence = facts[case.id].evidence
        foreign = sorted(set(evidence.voxels) - convention.values) if convention and evidence and case.label else []
        if foreign and convention and evidence and case.label:
            counts = ", ".join(f"{value} ({evidence.voxels[value]} voxels)" for value in foreign)
            problems.append(
                Problem(
                    case.id,
                    case.label.name,
                    f"holds label {counts}, which the convention {convention} lacks",
                    "set the cohort's convention, or mend the label",
                )
            )
    problems += _duplicate_problems(discovery, facts)
    return sorted(problems, key=lambda problem: problem.case)


class _Reader:
    """Reads the files of one case, each path once, and notes what cannot be read."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.problems: list[Problem] = []
        self.hashes: dict[str, str] = {}
        self._images: dict[Path, Any] = {}
        self._digests: dict[Path, str] = {}

    def read(self, role: str, file: ImageFile) -> Volume | None:
        try:
            if file.path not in self._images:
                raw = read_bytes(file.path)
                self._images[file.path] = decode(raw, file.path)
                self._digests[file.path] = hashlib.blake2b(raw, digest_size=16).hexdigest()
            volume = extract_volume(self._images[file.path], file)
        except ImageError as error:
            self.note(file.path, error.what, error.fix)
            return None
        suffix = "" if file.volume is None else f"#{file.volume}"
        self.hashes[role] = self._digests[file.path] + suffix
        return volume

    def note(self, path: Path, what: str, fix: str) -> None:
        problem = Problem(self.case.id, path.name, what, fix)
        if problem not in self.problems:
            self.problems.append(problem)


def _voxel_problems(case: Case, modality: Modality, volume: Volume) -> Iterator[Problem]:
    name = case.images[list(Modality).index(modality)].path.name
    data = volume.data
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        bad = int(np.size(data) - np.isfinite(data).sum())
        yield Problem(case.id, name, f"{modality} holds NaN or Inf in {bad} voxels", "export it again")
    elif not data.any():
        yield Problem(case.id, name, f"{modality} is 0 everywhere", "export it again, or leave out the case")


def _grid_problems(case: Case, volumes: Mapping[Modality, Volume]) -> Iterator[Problem]:
    """Compare every modality with the first one that could be read."""
    if not volumes:
        return
    names = dict(zip(Modality, (file.path.name for file in case.images), strict=True))
    reference = next(iter(volumes))
    for modality, volume in volumes.items():
        what = _grid_difference(volume, volumes[reference])
        if what:
            yield Problem(
                case.id, f"{names[modality]}, {names[reference]}", what, "register the modalities to one grid"
            )


def _grid_difference(volume: Volume, reference: Volume) -> str:
    if volume.data.shape != reference.data.shape:
        return f"shape {volume.data.shape[::-1]} is not {reference.data.shape[::-1]}"
    if not np.allclose(volume.spacing_mm, reference.spacing_mm, rtol=0, atol=AFFINE_TOLERANCE_MM):
        return f"voxels of {_numbers(volume.spacing_mm[::-1])} mm are not {_numbers(reference.spacing_mm[::-1])} mm"
    shift = float(np.abs(volume.affine - reference.affine).max())
    if not shift <= AFFINE_TOLERANCE_MM:
        return f"affine differs by {shift:g}: origin {_numbers(volume.affine[:3, 3])}, not " + _numbers(
            reference.affine[:3, 3]
        )
    return ""


def _numbers(values: Any) -> str:  # noqa: ANN401  (tuple or array of numbers)
    return " × ".join(f"{value:g}" for value in values)


def _twin_problems(case: Case, hashes: Mapping[str, str]) -> Iterator[Problem]:
    names = dict(zip(Modality, (file.path.name for file in case.images), strict=True))
    seen: dict[str, Modality] = {}
    for modality in Modality:
        content = hashes.get(modality)
        if content in seen:
            first = seen[content]
            what = f"{first} and {modality} are the same file, byte for byte"
            yield Problem(case.id, f"{names[first]}, {names[modality]}", what, "copy the right modality")
        elif content:
            seen[content] = modality


def _inspect_label(reader: _Reader, path: Path, volumes: Mapping[Modality, Volume | None]) -> CaseEvidence | None:
    volume = reader.read(LABEL, ImageFile(path))
    if volume is None:
        return None
    try:
        label = integer_label(volume.data, path)
    except ImageError as error:
        reader.note(path, error.what, error.fix)
        return None
    if not label.any():
        reader.note(path, "label is empty: every voxel is 0", "restore the label, or leave out the case")
    if label.min() < 0:
        reader.note(path, f"label holds {label.min()}, below 0", "export it again as unsigned numbers")
        return None
    images = [v for v in volumes.values() if v is not None]
    difference = _grid_difference(volume, images[0]) if images else ""
    if difference:
        reader.note(path, f"label and images differ: {difference}", "bring the label to the grid of the images")
        return None
    t1n, t1c = volumes[Modality.T1N], volumes[Modality.T1C]
    if reader.problems or t1n is None or t1c is None:
        return None
    return measure_labels(label, _enhancement(t1n.data, t1c.data))


def _enhancement(t1n: NDArray[Any], t1c: NDArray[Any]) -> NDArray[np.float32]:
    """t1c - t1n in z-scores over the voxels that are not 0 in both."""
    inside = (t1n != 0) & (t1c != 0)
    scores = []
    for image in (t1c, t1n):
        values = image[inside].astype(np.float32) if inside.any() else np.zeros(1, np.float32)
        scores.append((image - values.mean()) / max(float(values.std()), 1e-8))
    return np.asarray(scores[0] - scores[1], dtype=np.float32)


def _duplicate_problems(discovery: Discovery, facts: Mapping[str, CaseFacts]) -> Iterator[Problem]:
    """Cases that share an id, or any image byte for byte."""
    owners: dict[str, dict[str, str]] = defaultdict(dict)  # content → case → file
    ids: set[str] = set()
    for case in discovery.cases:
        if case.id in ids:
            yield Problem(case.id, "", "two cases have this id", "rename or remove one of them")
        ids.add(case.id)
        for modality, file in zip(Modality, case.images, strict=True):
            content = facts[case.id].hashes.get(modality)
            if content:
                owners[content].setdefault(case.id, file.path.name)
    reported: set[tuple[str, ...]] = set()
    for owner in owners.values():
        pair = tuple(owner)
        if len(pair) > 1 and pair not in reported:
            reported.add(pair)
            what = f"the same image under {len(pair)} ids: {', '.join(pair)}"
            yield Problem(pair[-1], ", ".join(owner.values()), what, "keep one of these cases")
