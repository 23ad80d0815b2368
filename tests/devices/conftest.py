"""Devices that are not the CPU: a GPU where there is one, and everywhere a stand-in that shows mixed devices."""

from collections.abc import Iterator

import pytest
import torch
from torch.backends import cudnn

from tests.devices.elsewhere import elsewhere

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
GPU = pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])


@pytest.fixture(params=["elsewhere", GPU])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """A device that is not the CPU. Convolutions of a GPU are in float32 and not in TF32, so that they compare."""
    if request.param == "elsewhere":
        with elsewhere() as device:
            yield device
    else:
        with cudnn.flags(enabled=True, allow_tf32=False):
            yield torch.device("cuda")


@pytest.fixture(params=["cpu", GPU])
def accelerator(request: pytest.FixtureRequest) -> str:
    """What a Trainer runs on."""
    name: str = request.param
    return name
