"""Voxels of which nobody says what they are, and what counts of a prediction and its label without them.

A label is the masks of its regions and after them, where a cohort ignores voxels, one more: that of these voxels. It
has this form in batches, in the loss and in every score, and all of them part it here.
"""

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # scores do without torch
    from torch import Tensor

Masks = TypeVar("Masks", NDArray[np.bool_], "Tensor")


def parted(label: Masks, regions: int) -> tuple[Masks, Masks | None]:
    """Part a label (..., regions or regions + 1, D, H, W).

    Returns:
        Masks of its regions (..., regions, D, H, W), and of its ignored voxels (..., 1, D, H, W); None without any.
    """
    if label.shape[-4] == regions:
        return label, None
    return label[..., :regions, :, :, :], label[..., regions:, :, :, :]


def judged(prediction: Masks, label: Masks) -> tuple[Masks, Masks, Masks | None]:
    """What of a prediction is judged by what of its label.

    Args:
        prediction: boolean masks (..., regions, D, H, W).
        label: boolean masks (..., regions or regions + 1, D, H, W).

    Returns:
        Both (..., regions, D, H, W), in which ignored voxels are background, and the mask of these (..., 1, D, H, W),
        which are no true negatives either; None without any.
    """
    regions, ignored = parted(label, prediction.shape[-4])
    if ignored is None:
        return prediction, regions, None
    return prediction & ~ignored, regions & ~ignored, ignored
