"""The images of a case, and its label, brought voxel upon voxel."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pedseg.cases import ImageFile
from pedseg.errors import PedsegError, Severity
from pedseg.imaging.geometry import axes_of, in_xyz, onto, same_grid, shift_mm
from pedseg.imaging.integrity.findings import Findings
from pedseg.imaging.nifti import Volume, integer_label, read_volume
from pedseg.labels import Modality

MODALITIES = tuple(Modality)
SPACING_TOLERANCE_MM = 1e-2
Volumes = Mapping[Modality, Volume | None]  # None for what cannot be read
Files = Mapping[Modality, ImageFile]


def read_label_onto(path: Path, grid: Volume) -> NDArray[np.integer]:
    """Read a label map (Z, Y, X) in the order of the voxels of `grid`.

    Raises:
        PedsegError: it cannot be read, is no label map, or lies on another grid.
    """
    return label_onto(read_volume(path), path, grid, "its images")


def read_onto(source: ImageFile | Path, grid: Volume) -> Volume:
    """Read a volume in the order of the voxels of `grid`.

    Raises:
        PedsegError: it cannot be read, or lies on another grid.
    """
    return _onto(read_volume(source), source if isinstance(source, Path) else source.path, grid, "its images")


def label_onto(stored: Volume, path: Path, grid: Volume, reference: str) -> NDArray[np.integer]:
    """A label map (Z, Y, X) in the order of the voxels of `grid`; `path` and `reference` are for messages.

    Raises:
        PedsegError: it is no label map, or lies on another grid.
    """
    return integer_label(_onto(stored, path, grid, reference).data, path)


def _onto(stored: Volume, path: Path, grid: Volume, reference: str) -> Volume:
    turned = onto(stored, grid)
    if turned is None:
        raise PedsegError(f"{path}: {difference(stored, grid, reference)}; register it to the grid of {reference}")
    return turned


def common_grid(read: Volumes) -> Modality:
    """The first of those images whose grid, as it is stored, most images have."""
    volumes = {modality: volume for modality, volume in read.items() if volume is not None}
    if not volumes:
        return MODALITIES[0]
    return max(volumes, key=lambda one: sum(same_grid(other, volumes[one]) for other in volumes.values()))


def align(
    findings: Findings, files: Files, read: Volumes, common: Modality
) -> Iterator[tuple[Modality, Volume | None]]:
    """Bring each image to the order of the common grid; those that have other voxels stay, and are told."""
    grid, reference = read[common], files[common].path.name
    for modality, volume in read.items():
        turned = None if volume is None or grid is None else onto(volume, grid)
        if volume is not None and grid is not None:
            if turned is None:
                what, fix = difference(volume, grid, reference), f"register it to the grid of {reference}"
                findings.add(files[modality].path.name, what, fix)
            elif turned is not volume:
                note_turn(findings, files[modality].path.name, volume, f"{reference}", grid)
        yield modality, turned or volume


def note_turn(findings: Findings, name: str, volume: Volume, reference: str, grid: Volume) -> None:
    """Say that the voxels of `volume` are turned to the order of `grid`."""
    what = f"is stored in {axes_of(volume.affine)} axes, {reference} in {axes_of(grid.affine)}"
    findings.add(name, what, "it is turned to the same axes, voxel by voxel", Severity.NOTE)


def difference(volume: Volume, grid: Volume, reference: str) -> str:
    """Say how two grids differ, in x, y, z."""
    if volume.data.shape != grid.data.shape:
        return f"has shape {volume.data.shape[::-1]}, {reference} {grid.data.shape[::-1]}"
    if not np.allclose(volume.spacing_mm, grid.spacing_mm, rtol=0, atol=SPACING_TOLERANCE_MM):
        return f"has voxels of {in_xyz(volume.spacing_mm)}, {reference} {in_xyz(grid.spacing_mm)} mm"
    return f"has another affine than {reference}: voxels lie up to {shift_mm(volume, grid):.3g} mm apart"
