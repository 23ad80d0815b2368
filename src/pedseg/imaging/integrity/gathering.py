"""All images of a case: read, checked and brought onto one grid."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pedseg.cases import ImageFile
from pedseg.errors import PedsegError
from pedseg.imaging.integrity.findings import Findings, split_message
from pedseg.imaging.integrity.grids import MODALITIES, Files, Volumes, align, common_grid
from pedseg.imaging.integrity.images import check_alone, check_background, check_placed, check_twins, check_voxels
from pedseg.imaging.nifti import Volume, decode, extract_volume, read_bytes
from pedseg.labels import Modality


def gather(findings: Findings, background: float | None) -> tuple[Volumes, int]:
    """Read and check all images of a case; those that lie on one grid are in one order then."""
    files = findings.files
    read = dict(_read(findings, files))
    for modality, file in files.items():
        check_voxels(findings, file, modality, read[modality], background)
    check_placed(findings, files, read)
    grid = common_grid(read)
    aligned = dict(align(findings, files, read, grid))
    if findings.problems() == 0:
        check_twins(findings, files, aligned)
        check_alone(findings, files, aligned, background)
    if findings.problems() == 0:
        check_background(findings, [v for m, v in aligned.items() if v and not files[m].absent], background)
        aligned = {m: _emptied(v, files[m], background) for m, v in aligned.items()}
    return aligned, MODALITIES.index(grid)


def _read(findings: Findings, files: Files) -> Iterator[tuple[Modality, Volume | None]]:
    """Read each file once, and take the volumes out of it."""
    images: dict[Path, Any] = {}
    for modality, file in files.items():
        try:
            if file.path not in images:
                images[file.path] = None
                images[file.path] = decode(read_bytes(file.path), file.path)
            volume = None if images[file.path] is None else extract_volume(images[file.path], file)
        except PedsegError as error:
            findings.add(file.path.name, *split_message(error, str(file.path)))
            volume = None
        yield modality, volume


def _emptied(volume: Volume | None, file: ImageFile, background: float | None) -> Volume | None:
    """An absent sequence is background everywhere, whatever that is."""
    if volume is None or not file.absent or background is None or background >= 0:
        return volume
    return replace(volume, data=np.full(volume.data.shape, background, dtype=np.float32))
