"""The fast instance norm against the formula in float64 and against PyTorch's."""

import pytest
import torch
from torch import Tensor, nn

from pedseg.networks.normalisation import InstanceNorm

LAYOUTS = [torch.contiguous_format, torch.channels_last_3d]


def by_hand(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    mean = x.mean((2, 3, 4), keepdim=True)
    variance = (x - mean).square().mean((2, 3, 4), keepdim=True)
    shape = (1, -1, 1, 1, 1)
    return (x - mean) / (variance + 1e-5).sqrt() * weight.view(shape) + bias.view(shape)


def norm_with_random_affine(channels: int) -> InstanceNorm:
    norm = InstanceNorm(channels)
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.bias)
    return norm


@pytest.mark.parametrize("incoming", LAYOUTS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch", [1, 3])
def test_values_and_gradients(batch: int, layout: torch.memory_format, incoming: torch.memory_format) -> None:
    """Includes one channels-last sample, for which the gradient of torch 2.13's InstanceNorm3d is wrong."""
    torch.manual_seed(0)
    norm = norm_with_random_affine(5)
    x = (3 * torch.randn(batch, 5, 21, 22, 23) + 5).contiguous(memory_format=layout).requires_grad_()
    gradient = torch.randn(x.shape).contiguous(memory_format=incoming)
    y = norm(x)
    torch.autograd.backward(y, gradient)
    exact = [t.detach().double().clone().requires_grad_() for t in (x, norm.weight, norm.bias)]
    z = by_hand(*exact)
    torch.autograd.backward(z, gradient.double())
    assert y.is_contiguous(memory_format=layout)
    torch.testing.assert_close(y.double(), z, atol=5e-6, rtol=0)
    for tensor, reference, tolerance in zip((x, norm.weight, norm.bias), exact, (5e-6, 5e-3, 5e-3), strict=True):
        assert tensor.grad is not None
        assert reference.grad is not None
        torch.testing.assert_close(tensor.grad.double(), reference.grad, atol=tolerance, rtol=1e-5)


def test_many_voxels_lose_no_precision() -> None:
    """The kernel's own float32 sums over so many voxels would be off by 1e-3."""
    torch.manual_seed(0)
    x = (torch.randn(1, 2, 96, 96, 96) + 5).contiguous(memory_format=torch.channels_last_3d)
    exact = by_hand(x.double(), torch.ones(2), torch.zeros(2))
    torch.testing.assert_close(InstanceNorm(2)(x).double(), exact, atol=1e-5, rtol=0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bfloat16_is_summed_in_float32(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    norm = norm_with_random_affine(4)
    x = (torch.randn(2, 4, 24, 24, 24) + 3).bfloat16().contiguous(memory_format=layout)
    exact = by_hand(x.double(), norm.weight.double(), norm.bias.double())
    y = norm(x)
    assert y.dtype is torch.bfloat16
    torch.testing.assert_close(y.double(), exact, atol=2e-3, rtol=2**-8)  # half a unit in the last of 8 places


def test_state_dict_is_that_of_the_norm_it_stands_for() -> None:
    assert InstanceNorm(3).state_dict().keys() == nn.InstanceNorm3d(3, affine=True).state_dict().keys()
