"""Where in the images of a case the brain is. Skull-stripped images are 0 outside it, or say what they are there."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import fill_voids
import numpy as np
from numpy.typing import NDArray

from pedseg.errors import PedsegError

Box = tuple[slice, slice, slice]
CORNERS = (0, -1)


def inside(image: NDArray[Any], background: float | None) -> NDArray[np.bool_]:
    """Voxels that are not background: other than 0, or above `background` where one is given."""
    found: NDArray[np.bool_] = image != 0 if background is None else image > background
    return found


def inside_any(images: Sequence[NDArray[Any]], background: float | None) -> NDArray[np.bool_]:
    """Voxels that are not background in every image."""
    found = inside(images[0], background)
    for image in images[1:]:
        found |= inside(image, background)
    return found


def find_brain(images: Sequence[NDArray[Any]], background: float | None = None) -> tuple[Box, NDArray[np.bool_]]:
    """Return the bounding box of the voxels that are not background in every image, and inside it their mask, filled.

    Args:
        images: of one shape (Z, Y, X).
        background: value at or below which voxels are background; None: those that are 0.

    Raises:
        PedsegError: every voxel is background.
    """
    found = inside_any(images, background)
    sides = []
    for axis in range(found.ndim):
        occupied = np.flatnonzero(found.any(axis=tuple(a for a in range(found.ndim) if a != axis)))
        if not len(occupied):
            what = "0" if background is None else f"at or below the background {background:g}"
            raise PedsegError(
                f"every voxel of every modality is {what}, so there is no brain to find; export the case again"
            )
        sides.append(slice(int(occupied[0]), int(occupied[-1]) + 1))
    z, y, x = sides
    brain: NDArray[np.bool_] = fill_voids.fill(np.ascontiguousarray(found[z, y, x])).astype(bool, copy=False)
    return (z, y, x), brain


def value_around(images: Sequence[NDArray[Any]]) -> float | None:
    """The largest of the values that most corners of each image have; None where the corners of one do not agree."""
    values = []
    for image in images:
        corners = image[np.ix_(CORNERS, CORNERS, CORNERS)].ravel().tolist()
        value, number = Counter(corners).most_common(1)[0]
        if number <= len(corners) // 2:
            return None
        values.append(float(value))
    return max(values)
