"""Windows, weights and stitching, against values worked out by hand and a plain re-computation."""

import itertools
import json
import subprocess
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from pedseg.errors import PedsegError
from pedseg.hardware import Precision
from pedseg.inference import gaussian_importance, sliding_window, sliding_window_logits, window_starts
from pedseg.networks import UNet
from pedseg.networks.contract import Norm
from tests.exactness import Exact

PEER = {"section": "Prediction", "peer": "nnunetv2"}
STARTS = "Sliding window: starts of all windows, three volumes"
WEIGHTS = "Sliding window: Gaussian weights, as a share of the centre's, three patches"
NNUNET = """
import json, sys, torch
from nnunetv2.inference.sliding_window_prediction import compute_gaussian, compute_steps_for_sliding_window
out = {}
for size, patch in json.loads(sys.argv[1]):
    steps = compute_steps_for_sliding_window(tuple(size), tuple(patch), 0.5)
    cpu = torch.device("cpu")
    g = compute_gaussian(tuple(patch), sigma_scale=1 / 8, value_scaling_factor=10, dtype=torch.float32, device=cpu)
    out[str((size, patch))] = {"steps": [[int(s) for s in a] for a in steps], "g": g.flatten().tolist()}
print(json.dumps(out))
"""
GRIDS = [([40, 33, 17], [16, 16, 16]), ([155, 170, 140], [64, 48, 32]), ([128, 16, 20], [128, 16, 12])]


def test_starts_by_hand() -> None:
    assert window_starts((128,), (128,)) == [(0,)]
    assert window_starts((155,), (128,)) == [(0,), (27,)]
    assert [s[0] for s in window_starts((240,), (64,))] == [0, 29, 59, 88, 117, 147, 176]
    assert len(window_starts((240, 240, 155), (128, 128, 128))) == 18


def test_starts_cover_every_voxel() -> None:
    for length, window in itertools.product(range(16, 60, 7), (8, 16)):
        covered = np.zeros(length, dtype=bool)
        for (start,) in window_starts((length,), (window,), step=0.75):
            covered[start : start + window] = True
        assert covered.all()


@pytest.mark.parametrize("step", [0.0, -0.5, 1.5])
def test_bad_step(step: float) -> None:
    with pytest.raises(PedsegError, match="step"):
        window_starts((32,), (16,), step=step)


def test_importance_is_a_filtered_impulse() -> None:
    patch = (16, 24, 12)
    impulse = np.zeros(patch)
    impulse[8, 12, 6] = 1
    expected = gaussian_filter(impulse, [n / 8 for n in patch], mode="constant")
    expected *= 10 / expected.max()
    importance = gaussian_importance(patch).numpy()
    assert (importance > 0).all()
    assert np.allclose(importance, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.exact(STARTS, **PEER, tolerance=0, unit="voxels")
@pytest.mark.exact(WEIGHTS, **PEER, tolerance=1e-6)
def test_equal_to_nnunet(peers_python: Path, exact: Exact) -> None:
    """In float32, as here; nnU-Net itself keeps the weights in half precision."""
    run = subprocess.run([peers_python, "-c", NNUNET, json.dumps(GRIDS)], capture_output=True, text=True, check=True)
    theirs = json.loads(run.stdout.strip().splitlines()[-1])
    for size, patch in GRIDS:
        found = theirs[str((size, patch))]
        starts, weights = np.array(list(itertools.product(*found["steps"]))), np.array(found["g"])
        exact(np.abs(np.array(window_starts(size, patch)) - starts).max(), STARTS)
        difference = np.abs(gaussian_importance(patch).flatten().numpy() - weights)
        assert (difference <= 1e-7 + 1e-5 * weights).all()
        exact(difference.max() / weights.max(), WEIGHTS)


def position_dependent(x: Tensor) -> Tensor:
    """A 'network' whose answer depends on where in its window a voxel lies."""
    ramp = torch.linspace(0, 1, x[0, 0].numel()).reshape(x.shape[2:])
    return torch.stack([x[:, 0] * ramp, x[:, 1] - ramp, ramp.expand_as(x[:, 0])], dim=1)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_stitching_equals_a_plain_recomputation(mirror: bool, batch: int) -> None:
    image = torch.rand(4, 20, 17, 30, generator=torch.Generator().manual_seed(1))
    patch = (16, 16, 16)
    importance = gaussian_importance(patch).double()
    total, weight = torch.zeros(3, 20, 17, 30, dtype=torch.float64), torch.zeros(20, 17, 30, dtype=torch.float64)
    for z, y, x in window_starts(image.shape[1:], patch):
        box = (slice(z, z + 16), slice(y, y + 16), slice(x, x + 16))
        window = image[(slice(None), *box)][None]
        flips = [c for n in range(4) for c in itertools.combinations((2, 3, 4), n)] if mirror else [()]
        mean = torch.stack([position_dependent(window.flip(f)).flip(f) for f in flips]).double().mean(0)[0]
        total[(slice(None), *box)] += mean * importance
        weight[box] += importance
    found = sliding_window_logits(position_dependent, image, patch_size=patch, mirror=mirror, window_batch=batch)
    assert torch.allclose(found.double(), total / weight, atol=1e-5)


def test_a_pointwise_network_is_stitched_exactly_on_any_shape() -> None:
    for shape in ((16, 16, 16), (5, 30, 17), (16, 7, 40)):
        image = torch.rand(4, *shape)
        logits = sliding_window_logits(lambda x: x[:, :3] * 2 - 1, image, patch_size=(16, 16, 16))
        assert logits.shape == (3, *shape)
        assert torch.allclose(logits, image[:3] * 2 - 1, atol=1e-5)


def test_small_volume_is_centred_in_the_patch() -> None:
    seen: list[Tensor] = []

    def network(x: Tensor) -> Tensor:
        seen.append(x.clone())
        return x[:, :3]

    sliding_window_logits(network, torch.ones(4, 5, 8, 8), patch_size=(8, 8, 8), mirror=False)
    assert seen[0][0, 0].sum(dim=(1, 2)).tolist() == [0, 64, 64, 64, 64, 64, 0, 0]


def test_logits_that_are_not_finite_are_refused() -> None:
    with pytest.raises(PedsegError, match="not finite"):
        sliding_window_logits(lambda x: x[:, :3] / 0, torch.zeros(4, 8, 8, 8), patch_size=(8, 8, 8))


def test_mirrored_prediction_does_not_care_which_way_the_volume_lies() -> None:
    torch.manual_seed(0)
    network = torch.nn.Conv3d(4, 3, 3, padding=1).eval()
    image = torch.rand(4, 16, 16, 16)  # one window, so that the importance cancels
    logits = sliding_window_logits(network, image, patch_size=(16, 16, 16))
    for axes in ((1,), (2, 3), (1, 2, 3)):
        flipped = sliding_window_logits(network, image.flip(axes), patch_size=(16, 16, 16)).flip(axes)
        assert torch.allclose(flipped, logits, atol=1e-5)
    plain = sliding_window_logits(network, image, patch_size=(16, 16, 16), mirror=False)
    assert not torch.allclose(plain, logits, atol=1e-3)


def test_windows_are_mirrored_along_the_axes_named_only() -> None:
    torch.manual_seed(0)
    network = torch.nn.Conv3d(4, 3, 3, padding=1).eval()
    image = torch.rand(4, 8, 8, 8)  # one window, so that the importance cancels
    logits = sliding_window_logits(network, image, patch_size=(8, 8, 8), mirror_axes=(0, 2))
    flips: list[tuple[int, ...]] = [(), (1,), (3,), (1, 3)]
    with torch.no_grad():
        expected = torch.stack([network(image.flip(axes)[None])[0].flip(axes) for axes in flips]).mean(0)
    assert torch.allclose(logits, expected, atol=1e-5)
    none = sliding_window_logits(network, image, patch_size=(8, 8, 8), mirror_axes=())
    assert torch.equal(none, sliding_window_logits(network, image, patch_size=(8, 8, 8), mirror=False))


class Counting(torch.nn.Module):
    """A network that counts the windows it is shown."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network
        self.windows = 0

    def forward(self, x: Tensor) -> Tensor:
        self.windows += len(x)
        logits: Tensor = self.network(x)
        return logits


PATCH = (8, 16, 16)


@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("mirror", [False, True])
def test_empty_windows_share_a_pass_and_keep_their_bits(
    monkeypatch: pytest.MonkeyPatch, mirror: bool, batch: int, norm: Norm, precision: Precision
) -> None:
    torch.manual_seed(0)
    network = UNet(patch_size=PATCH, base_features=2, max_features=4, norm=norm).eval()
    network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.3)  # biases too, so that nothing gives something
    image = torch.randn(4, 12, 16, 40)  # windows at z 0, 4 and x 0, 8, 16, 24
    image[:, :, :, 9:] = 0

    def predict() -> tuple[Tensor, int]:
        counting = Counting(network)
        logits = sliding_window_logits(
            counting,
            image,
            patch_size=PATCH,
            mirror=mirror,
            window_batch=batch,
            precision=precision,
            channels_last=True,
        )
        return logits, counting.windows

    shared, shared_passes = predict()
    monkeypatch.setattr(sliding_window, "_is_empty", never)
    each, passes = predict()
    assert torch.equal(shared, each)
    assert passes == (8 if mirror else 1) * 8
    assert shared_passes == passes // 2 + batch
    assert shared[..., 30:].std() > 0  # what an empty window gives is not 0


def never(_: Tensor) -> bool:
    return False


def test_a_window_of_a_single_voxel_is_not_empty() -> None:
    image = torch.zeros(4, 16, 16, 16)
    image[3, 0, 15, 0] = torch.nan
    with pytest.raises(PedsegError, match="not finite"):
        sliding_window_logits(lambda x: x[:, 1:], image, patch_size=(8, 8, 8))


def test_the_number_of_windows_in_a_pass_changes_no_bit() -> None:
    """Logits are added in the same order."""
    image = torch.randn(4, 20, 17, 30, generator=torch.Generator().manual_seed(1))
    found = [sliding_window_logits(position_dependent, image, patch_size=(16,) * 3, window_batch=n) for n in (1, 3, 64)]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


class Casts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts copies of tensors of one shape to another type."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shape, self.number = tuple(shape), 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.number += func is torch.ops.aten._to_copy.default and tuple(args[0].shape) == self.shape
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("outer", [torch.no_grad, torch.inference_mode])
def test_weights_are_cast_once_a_case(outer: Callable[[], AbstractContextManager[None]]) -> None:
    network = torch.nn.Conv3d(4, 3, 3, padding=1).eval()
    with outer(), Casts(network.weight.shape) as casts:
        sliding_window_logits(network, torch.rand(4, 8, 8, 40), patch_size=(8,) * 3, mirror=False, precision="bf16")
    assert casts.number == 1


def test_memory_is_one_volume_of_logits() -> None:
    """The largest tensor made is the sum of the logits; the weights take none of that size."""
    image = torch.rand(4, 24, 40, 40)
    with profile(profile_memory=True, activities=[ProfilerActivity.CPU]) as trace:
        sliding_window_logits(lambda x: x[:, :3], image, patch_size=(16, 16, 16), mirror=False)
    allocations = [event.self_cpu_memory_usage for event in trace.events() if event.self_cpu_memory_usage > 0]
    volume = 3 * 24 * 40 * 40 * 4
    assert max(allocations) == volume
    assert sum(size >= volume / 3 for size in allocations) == 1
