"""Brains to put tumours into: the MNI152 2009a maps shipped with nilearn, warped anew for every case.

Fonov et al., Unbiased average age-appropriate atlases for pediatric studies, NeuroImage 54 (2011). Arrays are
(X, Y, Z), as in the files.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.errors import PedsegError
from pedseg.phantom.noise import smooth_noise

Array = NDArray[np.float32]
Point = NDArray[np.float64]

SHAPE_1MM = (240, 240, 155)  # of BraTS
_CENTRE_IN_FIELD = np.array([-119.5, 116.0, 73.0])  # of the brain in the BraTS world, mm
_MNI_CENTRE = np.array([0.0, -17.0, 5.0])  # of the brain in MNI coordinates, mm
_SCALE = 0.95  # BraTS brains, registered to SRI24, have 1.64 l; the MNI152 brain 1.89 l
_ELASTIC = ((36.0, 2.6), (11.0, 0.8))  # (length, s.d. of displacement) in mm
_FILES = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"


@dataclass(frozen=True, slots=True)
class Grid:
    """Where voxels lie.

    Attributes:
        shape: voxels along x, y, z.
        spacing: distance of voxels in mm.
    """

    shape: tuple[int, int, int]
    spacing: float

    @property
    def affine(self) -> Point:
        """Voxel to world (4, 4), with the corner of the field of view where BraTS has it."""
        half = (self.spacing - 1) / 2  # coarse voxels begin where those of 1 mm do
        affine = np.diag([-self.spacing, -self.spacing, self.spacing, 1.0])
        affine[:3, 3] = (-half, 239 - half, half)
        return affine


def brats_grid(spacing: float) -> Grid:
    """Grid of BraTS, 240×240×155 at 1 mm, with voxels of `spacing` mm over the same field of view."""
    x, y, z = (max(1, round(n / spacing)) for n in SHAPE_1MM)
    return Grid((x, y, z), spacing)


@dataclass(frozen=True, slots=True)
class Atlas:
    """Tissue probabilities of the MNI152 brain, smoothed for a resolution.

    Attributes:
        brain, grey, white: probabilities on the atlas' grid of 1 mm.
        origin: MNI coordinates of the first voxel, mm.
    """

    brain: Array
    grey: Array
    white: Array
    origin: Point


@dataclass(frozen=True, slots=True)
class Anatomy:
    """One case's brain on its own grid, cut to the brain's box.

    Attributes:
        white, grey, csf: tissue fractions, summing to 1 inside the brain.
        brain: mask.
        mni: MNI coordinates of every voxel (3, X, Y, Z), mm.
        box: where it lies in the grid.
        spacing: mm.
    """

    white: Array
    grey: Array
    csf: Array
    brain: NDArray[np.bool_]
    mni: Array
    box: tuple[slice, slice, slice]
    spacing: float


@dataclass(frozen=True, slots=True)
class Bulge:
    """Mass effect: tissue around `centre` (MNI, mm) magnified by 1 / (1 - strength), fading over `radius` mm."""

    centre: Point
    radius: float
    strength: float


@functools.lru_cache(maxsize=2)
def load_atlas(spacing: float) -> Atlas:
    """Read the maps from the installed nilearn package and smooth them for voxels of `spacing` mm; kept for next time.

    Raises:
        PedsegError: nilearn or its maps are not installed.
    """
    try:
        import nilearn.datasets  # noqa: PLC0415  (an extra, wanted here only)
    except ImportError as error:
        raise PedsegError(
            "nilearn, which holds the anatomy, is not installed; pip install 'pedseg[phantom]'"
        ) from error
    folder = Path(nilearn.datasets.__file__).parent / "data"
    t1, grey, white = (_read(folder / _FILES.format(name)) for name in ("t1", "gm", "wm"))
    grey, white = _whiten_brainstem(grey, white)
    sigma = 0.42 * (spacing - 1)
    maps = [ndimage.gaussian_filter(a, sigma) if sigma > 0 else a for a in ((t1 > 0).astype(np.float32), grey, white)]
    origin = nib.load(folder / _FILES.format("t1")).affine[:3, 3]
    return Atlas(maps[0], maps[1], maps[2], origin)


def _read(path: Path) -> Array:
    if not path.is_file():
        raise PedsegError(f"{path}: the installed nilearn lacks this map; install nilearn>=0.11,<1")
    values: Array = np.asarray(nib.load(path).dataobj, dtype=np.float32)
    return values / np.float32(255)


def _whiten_brainstem(grey: Array, white: Array) -> tuple[Array, Array]:
    """Count the brainstem as white matter, whose signal it has; the maps call two thirds of it grey."""
    x, y, z = (np.arange(n, dtype=np.float32) for n in grey.shape)
    near = np.exp(
        -(((x[:, None, None] - 98) / 17) ** 4)
        - ((y[None, :, None] - 107) / 19) ** 4
        - ((z[None, None, :] - 38) / 34) ** 4
    )
    moved: Array = np.float32(0.75) * grey * near.astype(np.float32)
    return grey - moved, white + moved


def random_affine(rng: np.random.Generator) -> Point:
    """World of BraTS to MNI coordinates (4, 4): rotations by 2.5°, scales by 4 % and shifts by 2 mm of s.d."""
    angles = np.deg2rad(rng.normal(0, 2.5, 3))
    scale = _SCALE * np.exp(rng.normal(0, 0.025) + rng.normal(0, 0.03, 3))
    matrix = _rotation(angles) @ np.diag(scale)
    centre = _CENTRE_IN_FIELD + rng.normal(0, 2, 3)
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.inv(matrix)
    affine[:3, 3] = _MNI_CENTRE - affine[:3, :3] @ centre
    return affine


def _rotation(angles: Point) -> Point:
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        matrix = matrix @ turn
    return matrix


def make_anatomy(atlas: Atlas, grid: Grid, rng: np.random.Generator, *, bulge: Bulge) -> Anatomy:
    """Warp the atlas by a random affine map, a random elastic one and the mass effect of a tumour."""
    to_mni = random_affine(rng) @ grid.affine
    box = _brain_box(atlas, grid, to_mni)
    shape = tuple(s.stop - s.start for s in box)
    mni = _coordinates(to_mni, box)
    for length, amplitude in _ELASTIC:
        for axis in range(3):
            mni[axis] += amplitude * smooth_noise(rng, shape, length=length / grid.spacing)
    _pull_in(mni, bulge)
    brain, grey, white = (_sample(a, mni, atlas.origin) for a in (atlas.brain, atlas.grey, atlas.white))
    white, grey, csf = _sharpen([white, grey, np.maximum(brain - grey - white, 0)])
    mask = _largest(brain > 0.5)  # noqa: PLR2004  (more brain than not)
    return Anatomy(white, grey, csf, mask, mni, box, grid.spacing)


def _coordinates(to_mni: Point, box: Sequence[slice]) -> Array:
    i, j, k = np.ogrid[tuple(box)]
    return np.stack([(r[0] * i + r[1] * j + r[2] * k + r[3]).astype(np.float32) for r in to_mni[:3]])


def _brain_box(atlas: Atlas, grid: Grid, to_mni: Point, *, margin: float = 12.0) -> tuple[slice, slice, slice]:
    low = atlas.origin + np.array([26.0, 27.0, 0.0]) - margin
    high = atlas.origin + np.array([170.0, 207.0, 154.0]) + margin
    corners = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, -1)
    voxels = (np.linalg.inv(to_mni) @ np.vstack([corners, np.ones(8)]))[:3]
    first = np.clip(np.floor(voxels.min(1)).astype(int), 0, None)
    last = np.minimum(np.ceil(voxels.max(1)).astype(int) + 1, grid.shape)
    x, y, z = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return x, y, z


def _pull_in(mni: Array, bulge: Bulge) -> None:
    offset = mni - bulge.centre.astype(np.float32)[:, None, None, None]
    distance2 = np.einsum("cxyz,cxyz->xyz", offset, offset) / np.float32(bulge.radius**2)
    mni -= offset * (np.float32(bulge.strength) * np.exp(-distance2))


def _sample(values: Array, mni: Array, origin: Point) -> Array:
    at = mni - origin.astype(np.float32)[:, None, None, None]
    sampled: Array = ndimage.map_coordinates(values, at, order=1, output=np.float32)
    return sampled


def _sharpen(tissues: Sequence[Array], *, power: int = 3) -> list[Array]:
    """Make the averaged atlas' mixtures of tissues as clear-cut as one person's."""
    raised = [np.maximum(t, 1e-3) ** power for t in tissues]
    total = raised[0] + raised[1] + raised[2]
    return [r / total for r in raised]


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, n = ndimage.label(mask)
    if n > 1:
        mask = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(mask)
    return filled
