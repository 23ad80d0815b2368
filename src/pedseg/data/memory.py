"""Memory for patches."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def empty(shape: Sequence[int], device: torch.device) -> Tensor:
    """Uninitialised float32 tensor.

    On a CPU it is numpy's memory: numpy asks Linux for huge pages, torch does not, and at 128³ getting 4 channels in
    pages of 4 kB costs twice as much as filling them.
    """
    if device.type != "cpu":
        return torch.empty(tuple(shape), device=device)
    return torch.from_numpy(np.empty(tuple(shape), dtype=np.float32))
