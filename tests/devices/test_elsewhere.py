"""The stand-in refuses what a GPU refuses, and computes what the CPU computes."""

import pytest
import torch
from torch import nn

from tests.devices.elsewhere import ELSEWHERE, elsewhere, to_cpu


def test_operands_of_two_devices_are_refused() -> None:
    with elsewhere() as device:
        away, here = torch.ones(2, 3, device=device), torch.ones(2, 3)
        for mix in (torch.add, torch.mul, torch.minimum):
            with pytest.raises(RuntimeError, match="on the CPU"):
                mix(away, here)
        with pytest.raises(RuntimeError, match="on the CPU"):
            away += here
        with pytest.raises(RuntimeError, match="on the CPU"):
            torch.cat([away, here])
        with pytest.raises(RuntimeError, match="on the CPU"):
            nn.Linear(3, 2)(away)


def test_its_values_leave_it_only_by_copies() -> None:
    with elsewhere() as device:
        away = torch.arange(6.0, device=device).view(2, 3)
        with pytest.raises(RuntimeError, match="numpy"):
            away.numpy()
        assert away.cpu().numpy().sum() == 15
        assert away.sum().item() == 15
        assert bool((away[1] > 2).all())
        here = torch.zeros(2, 3)
        here.copy_(away)
        assert here.device.type == "cpu"
        assert here.sum() == 15


def test_numbers_and_indices_may_be_on_the_cpu() -> None:
    with elsewhere() as device:
        away = torch.arange(4.0, device=device)
        assert (away * torch.tensor(2.0)).device == ELSEWHERE
        assert to_cpu(away[torch.tensor([3, 1])]).tolist() == [3, 1]


def test_tensors_made_there_have_their_values() -> None:
    with elsewhere() as device:
        assert to_cpu(torch.tensor([1.5, 2.0], device=device)).tolist() == [1.5, 2]
        first = torch.randn(4, generator=torch.Generator(device).manual_seed(3), device=device)
        again = torch.randn(4, generator=torch.Generator().manual_seed(3))
        assert torch.equal(to_cpu(first), again)
        assert torch.zeros(3).device.type == "cpu"
    assert torch.Generator(device="cpu").device.type == "cpu"


def test_modules_are_moved_and_trained_there() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    expected = torch.autograd.grad(layer(torch.ones(1, 3)).square().sum(), list(layer.parameters()))
    with elsewhere() as device:
        moved = layer.to(device)
        torch.autograd.backward(moved(torch.ones(1, 3, device=device)).square().sum())
        for parameter, gradient in zip(moved.parameters(), expected, strict=True):
            assert parameter.grad is not None
            assert parameter.grad.device == ELSEWHERE
            assert torch.equal(to_cpu(parameter.grad), gradient)
