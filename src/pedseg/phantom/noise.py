"""Random numbers of a case: its own generator, and smooth fields that cost little at any resolution."""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MINIMUM = 1.0  # knot distance in voxels below which a field is white


def case_generator(*, seed: int, cohort: str, index: int, purpose: str) -> np.random.Generator:
    """Random generator of one purpose (shape, contrast, …) of one case, independent of every other."""
    names = (zlib.crc32(cohort.encode()), zlib.crc32(purpose.encode()))
    return np.random.default_rng([seed, index, *names])


def smooth_noise(rng: np.random.Generator, shape: Sequence[int], *, length: float) -> NDArray[np.float32]:
    """Gaussian field of `shape` with mean 0 and s.d. 1 at every voxel, smooth over about `length` voxels.

    White noise on knots `length` voxels apart, interpolated by cubic B-splines whose four weights are scaled to unit
    length, so that the variance is the same at and between knots. Below one voxel it is white noise itself.
    """
    if length < _MINIMUM:
        return rng.standard_normal(tuple(shape), dtype=np.float32)
    knots = [int(np.ceil((n - 1) / length)) + 4 for n in shape]
    phase = rng.random(len(shape))
    field = rng.standard_normal(knots, dtype=np.float32)
    for axis in reversed(range(len(shape))):
        field = _interpolate(field, axis=axis, size=shape[axis], length=length, phase=float(phase[axis]))
    return field


def _interpolate(
    field: NDArray[np.float32], *, axis: int, size: int, length: float, phase: float
) -> NDArray[np.float32]:
    position = np.arange(size) / length + phase
    first = np.floor(position).astype(int)
    t = position - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3])
    weights = (weights / np.sqrt((weights**2).sum(0))).astype(np.float32)
    ones = [1] * field.ndim
    ones[axis] = size
    last = field.shape[axis] - 1
    result: NDArray[np.float32] = field.take(first, axis) * weights[0].reshape(ones)
    for tap in (1, 2, 3):
        result += field.take(np.minimum(first + tap, last), axis) * weights[tap].reshape(ones)
    return result
