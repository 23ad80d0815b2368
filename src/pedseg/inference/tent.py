"""Test-time adaptation: a network's norms follow the case that is predicted, and are put back afterwards.

TENT (Wang et al. 2021, "Tent: fully test-time adaptation by entropy minimization") lowers the entropy of predictions on
unlabelled images by training the scale and shift of the norms alone. There, batches of pictures share one adaptation
and batch norms take the statistics of the batch. Here each case starts from the network's own parameters, so that
neither the other cases nor their order matter; the gradient steps see windows drawn about voxels of its brain; and
batch norms keep the statistics of training, since one window is a poor batch (instance norms follow the case anyway).

Low entropy is not accuracy: a network that finds nothing anywhere is the most certain one. `harmless` therefore
compares the adapted prediction with the network's own, and where it looks worse the latter stands.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.backends import cudnn

from pedseg.hardware import autocast
from pedseg.inference.settings import Settings
from pedseg.inference.sliding_window import pad_to_window
from pedseg.losses import binary_entropy

SEED = 0  # of the windows; the same for every case and network
LEAST_STAYING = 0.5  # share of a region's voxels that must stay in it
MOST_NEW = 1.0  # voxels that a region may gain, as a share of those it had
LEAST_VOXELS = 50  # of a region that may not vanish; at 1 mm the lesions that BraTS leaves out have no more


def norm_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Scale and shift of every instance norm and batch norm, layer by layer."""
    norms = [module for module in network.modules() if isinstance(module, nn.InstanceNorm3d | nn.BatchNorm3d)]
    return [parameter for norm in norms for parameter in norm.parameters(recurse=False)]


@contextmanager
def adapted(
    network: nn.Module, image: Tensor, brain: Tensor, *, patch_size: Sequence[int], settings: Settings
) -> Iterator[None]:
    """Adapt a network to a case for as long as the context lasts; then its parameters have their old bits again.

    Args:
        network: in evaluation mode, on the device of `image`, in channels-last layout.
        image: normalised (C, d, h, w).
        brain: (d, h, w) bool on the CPU, at least one voxel.
        patch_size: voxels of a window.
        settings: number and rate of the steps, and the precision of the forward pass.
    """
    parameters = norm_parameters(network)
    before = [parameter.detach().clone() for parameter in parameters]
    try:
        with (
            _others_frozen(network, parameters),
            torch.inference_mode(mode=False),
            torch.enable_grad(),
            cudnn.flags(enabled=True, deterministic=True),
        ):
            _lower_entropy(network, parameters, image, brain, patch_size=patch_size, settings=settings)
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                parameter.copy_(value)
                parameter.grad = None


@contextmanager
def _others_frozen(network: nn.Module, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Let no layer compute a gradient that nobody reads."""
    adapted = {id(parameter) for parameter in parameters}
    others = [p for p in network.parameters() if p.requires_grad and id(p) not in adapted]
    try:
        for parameter in others:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)


def _lower_entropy(
    network: nn.Module,
    parameters: Sequence[nn.Parameter],
    image: Tensor,
    brain: Tensor,
    *,
    patch_size: Sequence[int],
    settings: Settings,
) -> None:
    """Adam on the mean entropy over brain voxels and regions, a window a step; only `parameters` get gradients."""
    optimizer = torch.optim.Adam(parameters, lr=settings.adapt_rate)
    for window, inside in _windows(image, brain, patch_size, number=settings.adapt_steps):
        with autocast(image.device, settings.precision):
            logits = network(window)
        loss = (binary_entropy(logits) * inside).sum() / (inside.sum() * logits.shape[1])
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = gradient
        optimizer.step()


def _windows(
    image: Tensor, brain: Tensor, patch_size: Sequence[int], *, number: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield windows (1, C, *patch_size) about random brain voxels, moved to lie in the volume, and the brain in them.

    They are copies: what was made in inference mode has no part in a gradient.
    """
    image, _ = pad_to_window(image, patch_size)
    brain = pad_to_window(brain[None], patch_size)[0][0]
    voxels = np.flatnonzero(brain.numpy())
    for chosen in np.random.default_rng(SEED).choice(voxels, number):
        centre = np.unravel_index(int(chosen), tuple(brain.shape))
        starts = [
            min(max(int(c) - patch // 2, 0), size - patch)
            for c, patch, size in zip(centre, patch_size, brain.shape, strict=True)
        ]
        box = tuple(slice(start, start + patch) for start, patch in zip(starts, patch_size, strict=True))
        window = image[(slice(None), *box)][None].clone(memory_format=torch.channels_last_3d)
        yield window, brain[box].to(image.device)


@torch.no_grad()
def harmless(own: Tensor, after: Tensor, brain: Tensor) -> bool:
    """Whether an adapted prediction may stand in for the network's own; no label is looked at.

    - The mean entropy over brain voxels and regions has fallen, as it was meant to.
    - Of every region of at least `LEAST_VOXELS` voxels at least `LEAST_STAYING` has stayed.
    - No region has gained more than `MOST_NEW` times its voxels, or times `LEAST_VOXELS` if it had fewer.

    So the volume of a region that matters is between half and twice what it was, and it lies where it lay.

    Args:
        own: logits (R, d, h, w) of the network as it is.
        after: the same after the adaptation.
        brain: (d, h, w) bool.
    """
    entropies = [binary_entropy(logits[:, brain]).mean(dtype=torch.float64) for logits in (own, after)]
    before, now = own > 0, after > 0
    found, staying, new = (mask.sum((1, 2, 3)) for mask in (before, before & now, now & ~before))
    lost = (found >= LEAST_VOXELS) & (staying < LEAST_STAYING * found)
    grown = new > MOST_NEW * found.clamp(min=LEAST_VOXELS)
    return bool(entropies[1] < entropies[0]) and not bool((lost | grown).any())
