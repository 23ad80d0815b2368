"""Probabilities of the regions as NIfTI: one file of three volumes on the grid of the input.

NIfTI has no float16. Sixteen bits of an unsigned integer with ``scl_slope`` 1/65535 hold a probability to 8e-6 evenly
from 0 to 1, where float16 holds it to 2e-4 near 1; every reader of NIfTI scales them itself.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from pedseg.cases import ImageFile
from pedseg.imaging.nifti import write_array
from pedseg.imaging.preprocessing import PreparedImage, restore_logits
from pedseg.labels import Region

MOST = 65535  # what probability 1 is stored as
HALF = 32768  # the least that stands for more than one half


def probability_codes(logits: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Probabilities of logits of any shape, stored: more than one half exactly where the logit is above 0."""
    codes = np.rint(MOST * expit(logits.astype(np.float32))).astype(np.uint16)
    above = logits > 0
    return np.where(above, np.maximum(codes, HALF), np.minimum(codes, HALF - 1)).astype(np.uint16)


def restore_probabilities(logits: NDArray[np.floating], prepared: PreparedImage) -> NDArray[np.uint16]:
    """Turn logits (3, d, h, w) into stored probabilities (3, Z, Y, X) on the input grid; 0 outside the brain's box."""
    codes = np.zeros((len(Region), *prepared.input_shape), dtype=np.uint16)
    codes[(slice(None), *prepared.crop)] = probability_codes(restore_logits(logits, prepared))
    return codes


def write_probabilities(path: Path, codes: NDArray[np.uint16], *, like: ImageFile) -> None:
    """Write stored probabilities (3, Z, Y, X) as volumes WT, TC and ET on the grid of an image, atomically.

    Raises:
        PedsegError: the shapes differ, or `like` cannot be read.
    """
    write_array(path, codes, like=like, slope=1 / MOST)
