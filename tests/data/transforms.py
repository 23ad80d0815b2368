"""One image and one set of parameters for every intensity transform, for its tests by hand and against the peer."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from pedseg.data import intensity

SHAPE = (4, 20, 17, 24)
SIGMAS = {0: (0.5, 0.75, 1.0), 2: (0.62, 0.9, 0.55)}
SCALES = {1: 0.55, 3: 0.83}
FACTORS = [0.8, 1.2, 1.0, 1.24]
GAMMAS = [0.7, 1.5, 1.1, 0.9]

TRANSFORMS: dict[str, Callable[[torch.Tensor], None]] = {
    "blur": lambda image: intensity.blur(image, sigmas=SIGMAS),
    "brightness": lambda image: intensity.scale_brightness(image, factors=FACTORS),
    "contrast": lambda image: intensity.scale_contrast(image, factors=FACTORS),
    "low_resolution": lambda image: intensity.lower_resolution(image, scales=SCALES),
    "gamma": lambda image: intensity.apply_gamma(image, gammas=GAMMAS, invert=False),
    "inverted_gamma": lambda image: intensity.apply_gamma(image, gammas=GAMMAS, invert=True),
}


def half_empty_image() -> NDArray[np.float32]:
    """Noise of four channels, 0 in the first slices."""
    volume = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    volume[:, :5] = 0
    return volume


def apply(name: str, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run one of `TRANSFORMS` on a copy."""
    tensor = torch.from_numpy(image.copy())
    TRANSFORMS[name](tensor)
    result: NDArray[np.float32] = tensor.numpy()
    return result
