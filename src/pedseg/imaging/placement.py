"""Where a header places its voxels: their size in mm and the affine to the world, or why it does not say."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pedseg.errors import PedsegError
from pedseg.imaging.header import Header

AXES: Final = 3
LEAST_MM, MOST_MM = 0.05, 30.0  # voxel sizes of a head: from microscopy of specimens to scouts
CONTRADICTION: Final = 0.01  # part by which pixdim and a transform may differ
FLAT: Final = 1e-3  # volume of a voxel in that of a box with the same sides, below which the axes lie in one plane
MOST_CODE: Final = 5  # of a transform: NIFTI_XFORM_TEMPLATE_OTHER
_UNITS: Final = {0: ("mm", 1.0), 1: ("m", 1e3), 2: ("mm", 1.0), 3: ("µm", 1e-3)}  # xyzt_units; unknown means mm
_UNIT_BITS: Final = 7  # of xyzt_units, those for space
TRANSFORMS: Final = ("sform", "qform")


@dataclass(frozen=True, slots=True)
class Placement:
    """Size and place of the voxels of an image.

    Attributes:
        affine: (4, 4) from voxel (x, y, z) to world mm (the sform if there is one, else the qform).
        spacing_mm: voxel size along z, y, x.
        placed: whether the file has a transform. If it has none (both codes are 0) the affine is made up as nibabel
            does: the origin in the middle, x to the patient's left. Other programs make up other ones.
    """

    affine: NDArray[np.float64]
    spacing_mm: tuple[float, float, float]
    placed: bool


def placement(header: Header, path: Path) -> Placement:
    """Judge size, units and transform of a header; `path` is for messages only.

    Metres and microns (``xyzt_units``) become mm.

    Raises:
        PedsegError: the voxel size is no size or not one of a head, a transform is none, or the two contradict each
            other.
    """
    fields = header.fields
    unit, factor = _unit(fields, path)
    sizes = _sizes(fields, unit, factor, path)
    placed = _check_codes(fields, path)
    affine = _affine(fields, path)
    affine[:AXES] *= factor
    _check_transform(affine, sizes, "sform" if int(fields["sform_code"]) else "qform", path)
    x, y, z = (float(size) for size in sizes)
    return Placement(affine, (z, y, x), placed)


def _unit(fields: Any, path: Path) -> tuple[str, float]:  # noqa: ANN401
    """Name of the unit of space and what it is in mm."""
    code = int(fields["xyzt_units"]) & _UNIT_BITS
    if code not in _UNITS:
        raise PedsegError(f"{path}: has xyzt_units {code}, which is no unit; set it to 2 (mm) or export the file again")
    return _UNITS[code]


def _sizes(fields: Any, unit: str, factor: float, path: Path) -> NDArray[np.float32]:  # noqa: ANN401
    """Voxel size along x, y, z in mm."""
    stored = fields["pixdim"][1 : AXES + 1].astype(np.float32)
    if not (np.isfinite(stored).all() and (stored > 0).all()):
        raise PedsegError(
            f"{path}: has voxels of {_times(stored)} {unit} (pixdim), which is no size; correct the header or export "
            "the file again"
        )
    sizes: NDArray[np.float32] = stored if factor == 1 else (stored.astype(np.float64) * factor).astype(np.float32)
    if sizes.min() < LEAST_MM or sizes.max() > MOST_MM:
        said = f" ({_times(stored)} {unit} in the header)" if factor != 1 else ""
        raise PedsegError(
            f"{path}: has voxels of {_times(sizes)} mm{said}, and {LEAST_MM:g} to {MOST_MM:g} mm is possible; correct "
            "pixdim, the transforms and xyzt_units (1 metre, 2 mm, 3 micron), or export the file again"
        )
    return sizes


def _affine(fields: Any, path: Path) -> NDArray[np.float64]:  # noqa: ANN401
    fields = fields.copy()
    fields["pixdim"][0] = -1 if fields["pixdim"][0] < 0 else 1  # as nifti_io reads qfac, for which 0 stands for 1
    try:
        return np.array(fields.get_best_affine(), dtype=np.float64)
    except ValueError as error:  # the quaternion is longer than 1
        quaternion = ", ".join(f"{float(fields[f'quatern_{axis}']):g}" for axis in "bcd")
        raise PedsegError(
            f"{path}: has a qform of the quaternion ({quaternion}), which is no rotation; correct it or export the "
            "file again"
        ) from error


def _check_codes(fields: Any, path: Path) -> bool:  # noqa: ANN401
    """Refuse codes of transforms that are none; returns whether there is a transform."""
    codes = {name: int(fields[f"{name}_code"]) for name in TRANSFORMS}
    for name, code in codes.items():
        if not 0 <= code <= MOST_CODE:
            raise PedsegError(
                f"{path}: has {name}_code {code}, which is none (0 to {MOST_CODE}); export the file again"
            )
    return any(codes.values())


def _check_transform(affine: NDArray[np.float64], sizes: NDArray[np.float32], name: str, path: Path) -> None:
    if not np.isfinite(affine).all():
        raise PedsegError(f"{path}: has NaN or infinite values in its {name}; correct it or export the file again")
    sides = np.linalg.norm(affine[:AXES, :AXES], axis=0)
    if (np.abs(sides - sizes) > CONTRADICTION * sizes).any():
        raise PedsegError(
            f"{path}: contradicts itself: voxels of {_times(sizes)} mm by pixdim and of {_times(sides)} mm by its "
            f"{name}; export the file again, or correct the one that is wrong"
        )
    if abs(np.linalg.det(affine[:AXES, :AXES])) < FLAT * sides.prod():
        raise PedsegError(
            f"{path}: has a {name} whose axes lie in one plane, so it cannot be inverted; correct it or export the "
            "file again"
        )


def _times(sizes: NDArray[np.floating]) -> str:
    return " × ".join(f"{float(size):.6g}" for size in sizes)
