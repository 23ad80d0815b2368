"""Memory for patches: of the shape and on the device that is asked for, and not shared."""

import torch

from pedseg.data.memory import empty


def test_every_call_gets_memory_of_its_own() -> None:
    first, second = (empty((4, 3, 5), torch.device("cpu")).fill_(value) for value in (1.0, 2.0))
    assert first.shape == (4, 3, 5)
    assert first.dtype == torch.float32
    assert first.is_contiguous()
    assert (first == 1.0).all()
    assert (second == 2.0).all()
    assert empty((2, 2), torch.device("meta")).device.type == "meta"
