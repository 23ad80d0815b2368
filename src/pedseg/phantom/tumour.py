"""Tumours: where they sit, how they grow, and which part enhances.

A region is made by ranking voxels by an irregular smooth distance and taking the first N, so its volume is the one that
was drawn. Sites of children: dominant sites of the 261 labelled cases of BraTS-PEDs 2024 (Kazerooni et al.,
arXiv:2305.17033 and 2404.15009); adults: hemispheric and supratentorial, as in BraTS 2021 (Baid et al.,
arXiv:2107.02314).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import edt
import numpy as np
from numpy.typing import NDArray

from pedseg.labels import CONVENTIONS, labels_from_regions
from pedseg.phantom.anatomy import Anatomy, Array, Atlas, Bulge, Point
from pedseg.phantom.noise import smooth_noise
from pedseg.phantom.sizes import Sizes

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Site:
    """A place tumours come from.

    Attributes:
        share: fraction of the cohort.
        tissue: "white" or "grey" for a random voxel of that tissue above the tentorium, "point" for `centre`.
        centre: MNI, mm; the sign of x is random.
        spread: s.d. around it, mm.
    """

    share: float
    tissue: str = "point"
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    spread: tuple[float, float, float] = (0.0, 0.0, 0.0)


SITES: Mapping[str, Mapping[str, Site]] = {
    "adult": {"white matter": Site(0.9, "white"), "cortex": Site(0.1, "grey")},
    "ped": {
        "brainstem": Site(0.555, centre=(2, -27, -33), spread=(2, 2.5, 6)),
        "white matter": Site(0.303, "white"),
        "cerebellum": Site(0.046, centre=(17, -62, -34), spread=(7, 6, 5)),
        "thalamus": Site(0.016, centre=(11, -18, 8), spread=(2, 3, 2)),
        "cortex": Site(0.045, "grey"),
        "csf spaces": Site(0.035, centre=(3, -4, -12), spread=(2, 6, 6)),
    },
}


def choose_site(anatomy: str, draw: float) -> tuple[str, Site]:
    """Turn a uniform number into a site of "adult" or "ped", by its share."""
    upto = np.cumsum([site.share for site in SITES[anatomy].values()])
    return list(SITES[anatomy].items())[min(int(np.searchsorted(upto, draw * upto[-1])), len(upto) - 1)]


def choose_centre(site: Site, atlas: Atlas, rng: np.random.Generator) -> Point:
    """Centre of a tumour in MNI coordinates, mm."""
    if site.tissue == "point":
        centre: Point = np.array(site.centre) + rng.normal(0, 1, 3) * site.spread
        centre[0] *= rng.choice([-1.0, 1.0])
        return centre
    step = 3
    tissue = atlas.white if site.tissue == "white" else atlas.grey
    low = 0.75 * float(tissue.max())
    voxels = np.argwhere(tissue[::step, ::step, ::step] > low) * step + atlas.origin
    x, y, z = np.abs(voxels[:, 0]), voxels[:, 1], voxels[:, 2]
    hemispheric = (x > 16) & ((z > 4) | ((y > -40) & (z > -22) & (x > 28)))  # noqa: PLR2004  (mm, above the tentorium)
    chosen: Point = voxels[hemispheric][rng.integers(hemispheric.sum())] + rng.uniform(-1, 1, 3)
    return chosen


def mass_effect(centre: Point, sizes: Sizes, rng: np.random.Generator) -> Bulge:
    """How the core pushes the brain away: tissue is magnified by up to half."""
    radius = (0.75 * sizes.tc / np.pi) ** (1 / 3)
    return Bulge(centre, 1.5 * radius + 4, float(rng.uniform(0.12, 0.32)))


def grow_tumour(
    anatomy: Anatomy, sizes: Sizes, rng: np.random.Generator, *, rim: bool, centre: Point
) -> NDArray[np.uint8]:
    """Voxel labels (X, Y, Z) in the brats2023 convention of a tumour with the given region sizes.

    The core enhances in a rim, as in adults, or in patches.
    """
    volume = anatomy.spacing**3
    wt, tc, et = (round(mm3 / volume) for mm3 in (sizes.wt, sizes.tc, sizes.et))
    wt, tc = max(wt, 1), min(max(tc, 1), max(wt, 1))
    growth = _growth(anatomy, centre, rng, size=sizes.tc)
    core = _first(growth, anatomy.brain, tc)
    whole = _first(_spread(anatomy, core, centre, rng), anatomy.brain & ~core, wt - tc) | core
    enhancing = _first((_rim if rim else _islands)(core, anatomy.spacing, rng), core, et)
    return labels_from_regions(np.stack([whole, core, enhancing]), CONVENTIONS["brats2023"])


def _first(field: Array, allowed: Mask, count: int) -> Mask:
    """The `count` voxels of `allowed` with the lowest value."""
    chosen = np.zeros(allowed.shape, dtype=bool)
    candidates = np.flatnonzero(allowed)
    if 0 < count < candidates.size:
        candidates = candidates[np.argpartition(field.ravel()[candidates], count - 1)[:count]]
    if count > 0:
        chosen.ravel()[candidates] = True
    return chosen


def _growth(anatomy: Anatomy, centre: Point, rng: np.random.Generator, *, size: float) -> Array:
    """Distance from the centre: ellipsoidal, lobulated, and slow through liquor and across the midline."""
    radius = (0.75 * size / np.pi) ** (1 / 3)
    axes = np.exp(rng.normal(0, 0.16, 3))
    offset = [(anatomy.mni[k] - np.float32(centre[k])) / np.float32(axes[k] * radius) for k in range(3)]
    distance = np.sqrt(offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2)
    for share, amplitude in ((1.1, 0.16), (0.45, 0.09)):
        length = max(share * radius, 2.0) / anatomy.spacing
        distance += np.float32(amplitude) * smooth_noise(rng, distance.shape, length=length)
    field: Array = distance * (1 + np.float32(0.8) * anatomy.csf) + _barriers(anatomy, centre)
    return field


def _barriers(anatomy: Anatomy, centre: Point) -> Array:
    """Cost of crossing the falx (but through the corpus callosum), the tentorium and the cisterns."""
    x, y, z = anatomy.mni
    cost: Array = np.zeros_like(x)
    if abs(centre[0]) > 8 and centre[2] > 0:  # noqa: PLR2004  (mm: clearly in one hemisphere)
        cost += np.float32(0.9) * _step(-np.sign(centre[0]) * x, 1.5) * (1 - 0.8 * anatomy.white)
    behind = _step(-30 - y, 2.0) * (np.abs(x) > 14)  # noqa: PLR2004  (mm: beside the incisura)
    above = centre[2] > -10  # noqa: PLR2004  (mm: height of the tentorium's edge)
    cost += np.float32(0.9) * behind * _step((-14 - z) * (1 if above else -1), 1.5)
    if not above and abs(centre[0]) < 25:  # noqa: PLR2004  (mm: between the temporal lobes)
        cost += np.float32(0.9) * _step(np.abs(x) - 22, 2.0) * (1 - behind)
    return cost


def _step(x: Array, width: float) -> Array:
    ramp: Array = np.clip(0.5 + x / np.float32(2 * width), 0, 1)
    return ramp


def _spread(anatomy: Anatomy, core: Mask, centre: Point, rng: np.random.Generator) -> Array:
    """Oedema: distance from the core, short through white matter, long through cortex and liquor."""
    outside = edt.edt(~core, anisotropy=(anatomy.spacing,) * 3, black_border=False, parallel=1)
    noise = smooth_noise(rng, core.shape, length=14 / anatomy.spacing)
    noise += 0.5 * smooth_noise(rng, core.shape, length=6 / anatomy.spacing)
    cost = 1 + 1.7 * anatomy.grey + 2.5 * anatomy.csf + np.float32(1.2) * _barriers(anatomy, centre)
    field: Array = (outside + 2) * cost * np.exp(np.float32(0.4) * noise)
    return field


def _rim(core: Mask, spacing: float, rng: np.random.Generator) -> Array:
    """Adult enhancement: from the edge of the core inwards, thick here and thin there, the centre last."""
    depth = edt.edt(core, anisotropy=(spacing,) * 3, black_border=True, parallel=1)
    noise = smooth_noise(rng, core.shape, length=max(9 / spacing, 1.5))
    noise += 0.4 * smooth_noise(rng, core.shape, length=max(4 / spacing, 1.0))
    field: Array = depth * np.exp(np.float32(0.55) * noise) + np.float32(0.05 * spacing) * noise
    return field


def _islands(core: Mask, spacing: float, rng: np.random.Generator) -> Array:
    """Enhancement of children: patches around one or two foci inside the core, with islands beside them."""
    length = max(0.7 * (0.75 * core.sum() / np.pi) ** (1 / 3), 5 / spacing, 1.0)
    noise = smooth_noise(rng, core.shape, length=length)
    noise += 0.45 * smooth_noise(rng, core.shape, length=max(length / 2.5, 1.0))
    depth = edt.edt(core, anisotropy=(spacing,) * 3, black_border=True, parallel=1)
    edge = np.minimum(depth / np.float32(max(float(depth.max()), 1e-3)), 0.3)
    field: Array = noise - 2 * edge
    return field
