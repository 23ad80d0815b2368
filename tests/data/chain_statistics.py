"""Numbers that summarise one augmented patch; imported by the tests and, in its own process, by the peer's program."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

PER_CHANNEL = ("mean", "deviation", "least", "5 %", "25 %", "median", "75 %", "95 %", "greatest", "gradient")
NAMES = (
    *(f"{name} of channel {channel}" for channel in range(4) for name in PER_CHANNEL),
    "correlation of two channels",
    "brain",
    *(f"{name} of {region}" for region in ("WT", "TC", "ET") for name in ("size", "z", "y", "x")),
)


def statistics(image: NDArray[Any], regions: NDArray[Any]) -> list[float]:
    """Values of `NAMES` for an image (4, D, H, W) that is 0 outside the brain, and region masks (3, D, H, W).

    Intensities count inside the brain; the gradient is the mean step between neighbours along each axis, which falls
    with blur and rises with noise. Rounded, so that patches that nothing changed compare equal whatever the order of
    summation.
    """
    brain = np.any(image != 0, axis=0)
    values: list[float] = []
    for channel in image.astype(np.float64):
        inside = channel[brain]
        steps = [np.abs(np.diff(channel, axis=axis)).mean() for axis in range(3)]
        quantiles = np.quantile(inside, (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1))
        values += [inside.mean(), inside.std(), *quantiles, float(np.mean(steps))]
    values += [float(np.corrcoef(image[0][brain], image[1][brain])[0, 1]), float(brain.mean())]
    for mask in regions:
        centre = np.argwhere(mask).mean(axis=0) if mask.any() else np.full(3, -1.0)
        values += [float(mask.mean()), *centre]
    return [round(float(value), 6) for value in values]
