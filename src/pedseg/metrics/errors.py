"""Where a prediction is wrong, voxel by voxel."""

import numpy as np
from numpy.typing import NDArray

MISSED, EXTRA, OTHER_TISSUE = 1, 2, 3


def error_map(prediction: NDArray[np.bool_], label: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Code of each voxel (Z, Y, X): 0 where both agree.

    Args:
        prediction: region masks (3, Z, Y, X): WT, TC, ET.
        label: of the same shape.

    Returns:
        `MISSED`: tumour in the label alone; `EXTRA`: in the prediction alone; `OTHER_TISSUE`: tumour in both, of which
        some region differs.
    """
    predicted, true = prediction[0], label[0]
    codes = np.zeros(true.shape, dtype=np.uint8)
    codes[true & ~predicted] = MISSED
    codes[predicted & ~true] = EXTRA
    codes[true & predicted & (prediction != label).any(axis=0)] = OTHER_TISSUE
    return codes
