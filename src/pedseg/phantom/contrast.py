"""What the four sequences show: tissue intensities of a case, then texture, partial volume, bias field, noise, scale.

Intensities are in units of the whole-brain z-score. Adult rows were measured in 24 public training cases of BraTS
2018/2021 (Baid et al., arXiv:2107.02314); the normal tissues' contrast is raised, since they were read through an
unregistered atlas. Children have the contrasts of BraTS-PEDs 2023 (Kazerooni et al., arXiv:2305.17033): core and oedema
look alike, and like the oedema of adults rather than their core; enhancement is weaker, tumour closer to normal brain.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.labels import CONVENTIONS, Modality
from pedseg.phantom.anatomy import Anatomy, Array
from pedseg.phantom.noise import smooth_noise


@dataclass(frozen=True, slots=True)
class Look:
    """Signal of one tissue in one sequence: mean, s.d. between cases, s.d. within."""

    mean: float
    between: float
    within: float


def _looks(*rows: tuple[float, float, float]) -> Mapping[Modality, Look]:
    return {modality: Look(*row) for modality, row in zip(Modality, rows, strict=True)}


# In the order t1n, t1c, t2w, t2f. Of the normal tissues only the relations count: the normal brain is standardised.
NORMAL: Mapping[str, Mapping[Modality, Look]] = {
    "white": _looks((0.75, 0.12, 0.16), (0.45, 0.14, 0.16), (-0.42, 0.13, 0.15), (-0.25, 0.16, 0.19)),
    "grey": _looks((-0.25, 0.11, 0.20), (-0.10, 0.10, 0.18), (-0.02, 0.10, 0.19), (0.20, 0.13, 0.21)),
    "csf": _looks((-2.00, 0.21, 0.25), (-1.60, 0.18, 0.25), (2.20, 0.30, 0.45), (-1.45, 0.17, 0.30)),
}
# Mean and s.d. of the normal brain that leave the whole brain of an adult with 0 and 1
_STANDARD = {
    Modality.T1N: (0.0, 0.97),
    Modality.T1C: (0.0, 0.92),
    Modality.T2W: (-0.07, 0.88),
    Modality.T2F: (-0.12, 0.78),
}
ADULT: Mapping[str, Mapping[Modality, Look]] = {
    "ed": _looks((0.31, 0.34, 0.55), (-0.10, 0.37, 0.52), (0.73, 0.51, 0.59), (1.59, 0.50, 0.76)),
    "nc": _looks((-0.11, 0.73, 0.38), (-0.41, 0.62, 0.52), (1.51, 0.83, 0.60), (2.03, 0.84, 0.68)),
    "et": _looks((0.25, 0.62, 0.42), (1.84, 0.64, 1.03), (1.28, 0.71, 0.44), (2.00, 0.84, 0.71)),
}
# (class median - normal brain's median) / normal brain's interquartile range: middle and s.d. of the range of five
# children. Spread within a tissue in z-scores, below the adults', since the core of children is more homogeneous.
PAEDIATRIC: Mapping[str, Mapping[Modality, Look]] = {
    "ed": _looks((0.80, 0.26, 0.35), (0.55, 0.13, 0.35), (1.90, 0.26, 0.45), (1.95, 0.21, 0.50)),
    "nc": _looks((0.85, 0.50, 0.30), (0.55, 0.40, 0.35), (1.95, 0.60, 0.40), (1.80, 0.60, 0.45)),
    "et": _looks((0.80, 0.43, 0.30), (0.90, 0.35, 0.50), (1.80, 0.50, 0.40), (1.85, 0.55, 0.45)),
}
# Median of the normal brain (of white and grey matter) and its interquartile range, in z-scores. The range is what
# makes the contrasts of the adult tissues, known in the unit of PAEDIATRIC too (NC -0.34 -0.58 3.0 2.5, ED 0.12 -0.08
# 1.5 2.3, ET 0.10 1.6 2.0 2.4), their z-scores in ADULT, by least squares.
_CONTRAST_UNIT = {
    Modality.T1N: (0.16, 0.85),
    Modality.T1C: (0.14, 1.05),
    Modality.T2W: (-0.125, 0.59),
    Modality.T2F: (-0.095, 0.82),
}
_SHARED = (0.5, 0.8)  # correlation of a case's three tumour tissues in each sequence, of adults and of children
_OFFSET = {Modality.T1N: 4.0, Modality.T1C: 3.4, Modality.T2W: 2.2, Modality.T2F: 2.6}  # mean / s.d. of raw intensities
_UNIT = {Modality.T1N: 200.0, Modality.T1C: 350.0, Modality.T2W: 250.0, Modality.T2F: 200.0}  # median raw s.d.
_UNIT_SPREAD = 0.6  # s.d. of its logarithm between scanners
_NOISE = 0.10  # z-scores at 1 mm
_BIAS = 0.04  # s.d. of the logarithm of the bias field
_VESSELS = 1.6  # z-scores by which vessels enhance
_EDGE_MM = {"ed": 1.2, "nc": 0.7, "et": 0.6}  # softness of the tissues' borders


def render(
    anatomy: Anatomy, label: NDArray[np.uint8], rng: np.random.Generator, *, appearance: float
) -> dict[Modality, NDArray[np.int16]]:
    """Raw images (X, Y, Z) of the four sequences: positive inside the brain, 0 outside.

    Args:
        anatomy: the brain.
        label: voxel labels of the same shape, in the brats2023 convention.
        rng: of the case.
        appearance: how far tumours look other than those of adults: 0 not at all, 1 as measured of children.
    """
    tumour = _fractions(label, anatomy.spacing)
    remains = 1 - sum(tumour.values(), start=np.zeros(label.shape, dtype=np.float32))
    tissues = {"white": anatomy.white, "grey": anatomy.grey, "csf": anatomy.csf}
    factors = {name: rng.standard_normal(4) for name in ("case", "white", "grey", "csf", "ed", "nc", "et")}
    shared = _SHARED[0] + min(appearance, 1.0) * (_SHARED[1] - _SHARED[0])
    vessels = _vessels(anatomy, rng)
    healthy = anatomy.brain & (label == 0)
    images = {}
    for channel, modality in enumerate(Modality):
        texture = _texture(anatomy, rng)
        normal, spread = _mix(tissues, {n: NORMAL[n][modality] for n in tissues}, factors, channel=channel, shared=0.0)
        normal += spread * texture + (vessels if modality == Modality.T1C else 0)
        normal = _standardise(normal, healthy, modality)
        looks = tumour_looks(modality, appearance=appearance)
        lesion, spread = _mix(tumour, looks, factors, channel=channel, shared=shared)
        image = normal * remains + lesion + spread * texture
        images[modality] = _to_raw(image, anatomy, rng, modality=modality)
    return images


def _fractions(label: NDArray[np.uint8], spacing: float) -> dict[str, Array]:
    """Soft share of each tumour tissue in each voxel."""
    convention = CONVENTIONS["brats2023"]
    values = {"ed": convention.ed, "nc": convention.nc, "et": convention.et}
    result = {}
    for name, numbers in values.items():
        mask = np.isin(label, numbers).astype(np.float32)
        result[name] = _blur(mask, max(_EDGE_MM[name] / spacing, 0.35)) if mask.any() else mask
    return result


def _standardise(normal: Array, healthy: NDArray[np.bool_], modality: Modality) -> Array:
    mean, deviation = _STANDARD[modality]
    found = normal[healthy]
    result: Array = (normal - found.mean()) * np.float32(deviation / found.std()) + np.float32(mean)
    return result


def _blur(mask: Array, sigma: float) -> Array:
    """Gaussian blur, only in the neighbourhood of what is not 0."""
    margin = int(np.ceil(4 * sigma)) + 1
    box = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(max(int(used[0]) - margin, 0), int(used[-1]) + margin + 1))
    result = mask.copy()
    result[tuple(box)] = ndimage.gaussian_filter(mask[tuple(box)], sigma)
    return result


def tumour_looks(modality: Modality, *, appearance: float) -> dict[str, Look]:
    """Looks of the tumour tissues: the adults', moved by `appearance` towards the children's."""
    middle, unit = _CONTRAST_UNIT[modality]
    return {
        name: Look(
            before.mean + appearance * (middle + after.mean * unit - before.mean),
            max(before.between + appearance * (after.between * unit - before.between), 0.0),
            max(before.within + appearance * (after.within - before.within), 0.0),
        )
        for name in ADULT
        for before, after in [(ADULT[name][modality], PAEDIATRIC[name][modality])]
    }


def _mix(
    fractions: Mapping[str, Array],
    looks: Mapping[str, Look],
    factors: Mapping[str, NDArray[np.float64]],
    *,
    channel: int,
    shared: float,
) -> tuple[Array, Array]:
    """Mean signal and within-tissue s.d. of every voxel, with the case's own tissue means."""
    shape = next(iter(fractions.values())).shape
    mean, spread = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    for name, fraction in fractions.items():
        factor = shared**0.5 * factors["case"][channel] + (1 - shared) ** 0.5 * factors[name][channel]
        mean += fraction * np.float32(looks[name].mean + looks[name].between * factor)
        spread += fraction * np.float32(looks[name].within)
    return mean, spread


def _texture(anatomy: Anatomy, rng: np.random.Generator) -> Array:
    """Unit-variance structure within tissues at two scales."""
    coarse = smooth_noise(rng, anatomy.brain.shape, length=9 / anatomy.spacing)
    fine = smooth_noise(rng, anatomy.brain.shape, length=3 / anatomy.spacing)
    return np.float32(0.75) * coarse + np.float32(0.66) * fine


def _vessels(anatomy: Anatomy, rng: np.random.Generator) -> Array:
    """Enhancing vessels: curves along which two smooth fields vanish, in cortex and liquor."""
    fields = [smooth_noise(rng, anatomy.brain.shape, length=max(10 / anatomy.spacing, 1.5)) for _ in range(2)]
    width = np.float32(0.16)
    tube = np.exp(-(fields[0] ** 2 + fields[1] ** 2) / (2 * width**2))
    vessels: Array = np.float32(_VESSELS) * tube * (anatomy.grey + anatomy.csf)
    return vessels


def _to_raw(image: Array, anatomy: Anatomy, rng: np.random.Generator, *, modality: Modality) -> NDArray[np.int16]:
    """Put a scanner between the brain and the file."""
    shape = image.shape
    image = ndimage.gaussian_filter(image, 0.45) + np.float32(_OFFSET[modality])
    image *= np.exp(np.float32(_BIAS) * smooth_noise(rng, shape, length=70 / anatomy.spacing))
    image += np.float32(_NOISE / anatomy.spacing**0.5) * rng.standard_normal(shape, dtype=np.float32)
    unit = _UNIT[modality] * float(np.exp(rng.normal(0, _UNIT_SPREAD)))
    raw = np.clip(np.rint(image * np.float32(unit)), 1, np.iinfo(np.int16).max)
    return np.where(anatomy.brain, raw, 0).astype(np.int16)
