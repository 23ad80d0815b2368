"""Computed memory: what is counted, and how it compares with real steps."""

import sys

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from pedseg.hardware import Precision
from pedseg.planning.live import LiveBytes
from pedseg.planning.memory import StepMemory, make_batch, prediction_memory, ready, step_memory, train_step
from tests.memory_page import measure
from tests.networks.small import EVERY
from tests.planning.models import KINDS, build

FLOAT = 4
TOLERANCE = 0.15


def test_a_tensor_counts_once_and_until_nothing_refers_to_it() -> None:
    with FakeTensorMode(), LiveBytes() as live:
        x = torch.empty(1000)
        view = x.view(10, 100)
        assert live.now == 1000 * FLOAT
        y = x + 1
        assert live.now == live.peak == 2000 * FLOAT
        del x
        assert live.now == 2000 * FLOAT  # the view is left
        del view, y
        assert live.now == 0
        assert live.peak == 2000 * FLOAT


def test_what_autograd_saves_lives_until_the_backward() -> None:
    with FakeTensorMode(), LiveBytes() as live:
        weight = torch.empty(100, requires_grad=True)
        loss = (weight * 2).exp().sum()
        assert live.now >= (100 + 100) * FLOAT  # the result of exp is saved, nobody else holds it
        loss.backward()  # type: ignore[no-untyped-call]
        del loss
        assert live.now == (100 + 100) * FLOAT  # weight and gradient


def test_masks_take_everything_and_values_are_one() -> None:
    with FakeTensorMode(), LiveBytes():
        x = torch.empty(3, 5)
        assert x[x > 0].shape == (15,)
        assert (x > 0).nonzero().shape == (15, 2)
        assert float(x.sum()) == 1


def memory(kind: str, *, batch: int, gpu: bool = True, precision: str = "32") -> StepMemory:
    return step_memory(
        build(kind, patch=32, width=4),
        patch_size=(32, 32, 32),
        batch_size=batch,
        two_sides=kind == "uda",
        precision="bf16" if precision == "bf16" else "32",
        gpu=gpu,
        clip=12.0,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_those_of_the_module(kind: str) -> None:
    found = memory(kind, batch=2)
    module = build(kind, patch=32, width=4)
    trained = sum(p.numel() for p in module.parameters()) * FLOAT
    assert found.gradients == found.optimizer == trained
    assert found.parameters >= trained
    assert found.peak > found.parameters + found.optimizer


@pytest.mark.parametrize("network", EVERY)
def test_every_kind_of_network_is_accounted_for(network: str) -> None:
    module = build("uda", patch=32, width=4, network_name=network)
    found = step_memory(
        module, patch_size=(32, 32, 32), batch_size=2, two_sides=True, precision="bf16", gpu=True, clip=12.0
    )
    trained = sum(p.numel() for p in module.parameters()) * FLOAT
    assert found.gradients == found.optimizer == trained
    assert found.peak > found.parameters + found.optimizer
    assert prediction_memory(module.network, shape=(40, 40, 40), window_batch=2, precision="32", gpu=True) > 0


def test_activations_grow_with_the_batch_and_shrink_with_bfloat16() -> None:
    two, four, six = (memory("supervised", batch=batch).peak for batch in (2, 4, 6))
    assert four - two == pytest.approx(six - four, rel=0.02)
    assert memory("supervised", batch=4, precision="bf16").peak < four


def test_a_prediction_holds_image_and_sums() -> None:
    network = build("supervised", patch=32, width=4).network
    small, large = (
        prediction_memory(network, shape=shape, window_batch=1, precision="32", gpu=True)
        for shape in ((32, 32, 32), (64, 64, 64))
    )
    assert large - small == (4 + 3) * FLOAT * (64**3 - 32**3)


def test_the_module_is_left_as_it_was() -> None:
    module = build("uda", patch=32, width=4)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    step_memory(module, patch_size=(32, 32, 32), batch_size=2, two_sides=True, precision="bf16", gpu=False, clip=None)
    assert all(parameter.grad is None for parameter in module.parameters())
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0, equal_nan=True)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [8, 16])
def test_computed_is_what_a_process_grows_by(kind: str, precision: str, width: int) -> None:
    """On the CPU at 64³ and batch 2, where the fixed costs of kernels are small beside the tensors."""
    found = measure(kind, patch=64, batch=2, width=width, precision="bf16" if precision == "bf16" else "32")
    assert found["computed"] == pytest.approx(found["measured"], rel=TOLERANCE)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
@pytest.mark.parametrize("network", [name for name in EVERY if name != "unet"])
def test_other_networks_grow_by_what_is_computed(network: str) -> None:
    found = measure("uda", patch=64, batch=2, width=16, precision="32", network=network)
    assert found["computed"] == pytest.approx(found["measured"], rel=TOLERANCE)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("kind", KINDS)
def test_computed_is_what_a_gpu_allocates(kind: str, precision: str) -> None:
    """Without cuDNN's workspaces, which are not tensors of the step."""
    chosen: Precision = "bf16" if precision == "bf16" else "32"
    module = build(kind, patch=96)
    computed = step_memory(
        module, patch_size=(96, 96, 96), batch_size=4, two_sides=kind == "uda", precision=chosen, gpu=True, clip=12.0
    )
    device = torch.device("cuda")
    module = module.to(device)
    optimizer = module.configure_optimizers()
    ready(module, optimizer)
    for number in range(3):
        torch.cuda.reset_peak_memory_stats()
        batch = make_batch((96, 96, 96), 4, two_sides=kind == "uda", labelled=False, device=device)
        train_step(module, optimizer, batch, number=number, precision=chosen, clip=12.0)
    assert computed.peak == pytest.approx(torch.cuda.max_memory_allocated(), rel=TOLERANCE)
