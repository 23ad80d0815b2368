"""The convolution's fast ways against PyTorch's."""

import os
import platform
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from pedseg.networks import convolution
from pedseg.networks.convolution import Convolution


def gradients(layer: nn.Conv3d, x: Tensor) -> list[Tensor]:
    """Output, and gradients of the input, the weight and the bias if there is one."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    output = layer(x)
    parameters = list(layer.parameters())
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(output.shape, generator=generator, dtype=torch.float32).to(output.dtype)
    return [output, *torch.autograd.grad((output * weights).sum(), [x, *parameters])]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kernel", "stride"), [((3, 3, 3), (1, 1, 1)), ((3, 3, 3), (2, 2, 2)), ((3, 1, 3), (2, 1, 1))])
@pytest.mark.parametrize("batch", [1, 2])
def test_gradients_equal_those_in_float64(
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
    kernel: tuple[int, int, int],
    stride: tuple[int, int, int],
    bias: bool,
) -> None:
    """On every machine, as if it had no AVX-512; the output has the bits of PyTorch's."""
    monkeypatch.setattr(convolution, "_lacks_avx512", lambda: True)
    torch.manual_seed(0)
    layer = Convolution(4, 8, kernel, stride, [size // 2 for size in kernel], bias=bias)  # type: ignore[arg-type]
    layer.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    plain = nn.Conv3d(4, 8, kernel, stride, [size // 2 for size in kernel], bias=bias)  # type: ignore[arg-type]
    plain.to(memory_format=torch.channels_last_3d).load_state_dict(layer.state_dict())  # type: ignore[call-overload]
    x = torch.randn(batch, 4, 12, 10, 14).contiguous(memory_format=torch.channels_last_3d)
    found = gradients(layer, x)
    assert type(layer(x).grad_fn).__name__ == "_PaddedByHandBackward"
    assert torch.equal(found[0], plain(x))
    for own, exact in zip(found, gradients(plain.double(), x.double()), strict=True):
        torch.testing.assert_close(own.double(), exact, atol=1e-5 * float(exact.abs().max()), rtol=0)


def test_many_voxels_lose_little_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """64³ of them, of which each weight's gradient is a sum; PyTorch's own is as far off on a CPU with AVX-512."""
    monkeypatch.setattr(convolution, "_lacks_avx512", lambda: True)
    torch.manual_seed(0)
    layer = Convolution(8, 8, 3, padding=1).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    plain = nn.Conv3d(8, 8, 3, padding=1).double()
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(1, 8, 64, 64, 64).contiguous(memory_format=torch.channels_last_3d)
    for own, exact in zip(gradients(layer, x), gradients(plain, x.double()), strict=True):
        torch.testing.assert_close(own.double(), exact, atol=1e-4 * float(exact.abs().max()), rtol=0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_kernel_of_one_voxel_is_a_product_of_matrices(batch: int, bias: bool) -> None:
    torch.manual_seed(0)
    layer = Convolution(8, 3, 1, bias=bias).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    plain = nn.Conv3d(8, 3, 1, bias=bias).double()
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(batch, 8, 6, 5, 7).contiguous(memory_format=torch.channels_last_3d)
    output = layer(x)
    assert output.is_contiguous(memory_format=torch.channels_last_3d)
    for own, exact in zip(gradients(layer, x), gradients(plain, x.double()), strict=True):
        torch.testing.assert_close(own.double(), exact, atol=2e-6 * float(exact.abs().max()), rtol=0)


@pytest.mark.parametrize("kernel", [1, 3])
def test_other_layouts_and_precisions_are_pytorchs(kernel: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "_lacks_avx512", lambda: True)
    layer = Convolution(4, 8, kernel, padding=kernel // 2)
    x = torch.randn(2, 4, 8, 8, 8)
    assert type(layer(x).grad_fn).__name__ == "ConvolutionBackward0"
    layer.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(x.contiguous(memory_format=torch.channels_last_3d))
    assert type(output.grad_fn).__name__ == "ConvolutionBackward0"


def test_frozen_weights_and_frozen_inputs_get_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "_lacks_avx512", lambda: True)
    layer = Convolution(4, 8, 3, padding=1).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    x = torch.randn(1, 4, 8, 8, 8).contiguous(memory_format=torch.channels_last_3d)
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    assert layer.bias is not None
    layer.zero_grad()
    layer.bias.requires_grad_(False)
    x.requires_grad_()
    layer(x).sum().backward()
    assert layer.bias.grad is None
    assert x.grad is not None
    layer.zero_grad()
    layer.weight.requires_grad_(False)
    layer(x).sum().backward()
    assert layer.weight.grad is None


@pytest.mark.skipif(platform.machine() != "x86_64", reason="oneDNN's instruction sets are those of x86")
def test_limited_instructions_are_noticed() -> None:
    """In a process of its own: oneDNN reads its environment once."""
    program = "from pedseg.networks.convolution import _lacks_avx512 as l; print(l())"
    able = torch.cpu.get_capabilities()
    for limit, expected in (
        ("AVX2", bool(able.get("avx2"))),
        ("", bool(able.get("avx2") and not able.get("avx512_f"))),
    ):
        output = subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "ONEDNN_MAX_CPU_ISA": limit},
        ).stdout
        assert output.strip() == str(expected)
