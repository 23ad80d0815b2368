"""Whole-volume logits from overlapping windows, weighted and mirrored as nnU-Net does (Isensee et al., 2021)."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from pedseg.errors import PedsegError
from pedseg.hardware import Precision, autocast
from pedseg.memory import reused_memory

SIGMA_SCALE = 1 / 8  # nnU-Net: standard deviation of the importance, as a part of the patch
IMPORTANCE_PEAK = 10.0  # nnU-Net: weight of a window's centre voxel


class Window(NamedTuple):
    """One mirroring of a window.

    Attributes:
        box: where it lies in (1, C, D, H, W).
        flips: axes of (1, C, D, H, W) that it is mirrored along.
        empty: whether all its voxels are 0.
    """

    box: tuple[slice, ...]
    flips: tuple[int, ...]
    empty: bool


class NotFiniteError(PedsegError):
    """Some logits of a case are infinite or not a number."""


def window_starts(size: Sequence[int], patch: Sequence[int], *, step: float = 0.5) -> list[tuple[int, ...]]:
    """Place windows of `patch` voxels evenly over a volume of `size` voxels, first and last flush with its borders.

    Per axis there are ceil((size - patch) / (step · patch)) + 1 windows, at evenly spaced starts rounded to the nearest
    voxel (halves to even).

    Returns:
        First voxel of every window, last axis fastest.

    Raises:
        PedsegError: `step` is outside (0, 1], or the volume is smaller than a window.
    """
    return list(itertools.product(*_axis_starts(size, patch, step)))


def _axis_starts(size: Sequence[int], patch: Sequence[int], step: float) -> list[list[int]]:
    if not 0 < step <= 1:
        raise PedsegError(f"step {step} must be above 0 and at most 1 (0.5 lets windows overlap by half)")
    if any(s < p for s, p in zip(size, patch, strict=True)):
        raise PedsegError(f"volume {tuple(size)} is smaller than the window {tuple(patch)}; pad it first")
    starts = []
    for length, window in zip(size, patch, strict=True):
        intervals = int(np.ceil((length - window) / (window * step)))
        spacing = (length - window) / max(intervals, 1)
        starts.append([round(spacing * i) for i in range(intervals + 1)])
    return starts


def gaussian_importance(patch: Sequence[int], *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Weight of every voxel of a window: a Gaussian about voxel patch // 2 with sigma patch / 8 and a maximum of 10.

    It is the response of a Gaussian filter to a single voxel. Where it vanishes in `dtype`, the smallest value that
    does not stands in, so that every voxel of the volume has a weight (half precision needs it; float32 does not).

    Returns:
        Tensor of shape `patch`.
    """
    z, y, x = (_profile(length) for length in patch)
    importance = (IMPORTANCE_PEAK * z[:, None, None] * y[:, None] * x).to(dtype)
    vanished = importance == 0
    if vanished.any():
        importance[vanished] = importance[~vanished].min()
    return importance


def _profile(length: int) -> Tensor:
    """One axis of the importance, (length,) float64 with a maximum of 1; the filter is separable."""
    impulse = np.zeros(length)
    impulse[length // 2] = 1
    response = gaussian_filter1d(impulse, length * SIGMA_SCALE, mode="constant")
    return torch.from_numpy(response / response.max())


@torch.inference_mode(mode=False)  # in which autocast would cast all weights again for every window
@torch.no_grad()
def sliding_window_logits(
    network: Callable[[Tensor], Tensor],
    image: Tensor,
    *,
    patch_size: Sequence[int],
    step: float = 0.5,
    mirror: bool = True,
    mirror_axes: Sequence[int] = (0, 1, 2),
    window_batch: int = 1,
    device: torch.device | None = None,
    precision: Precision = "32",
    channels_last: bool = False,
) -> Tensor:
    """Run `network` over windows of one volume and average the logits.

    A volume smaller than the patch is padded with 0 on both sides (the odd voxel at the end) and cropped again. Forward
    passes that hold nothing but 0 are the same input to the same function (0 mirrored is 0), so that one of them stands
    for all of that size. Logits are added window after window and mirroring after mirroring, however many share a pass,
    in float32 whatever the precision of the pass; nnU-Net adds in half precision, which moves logits by up to 1e-3 of
    their size. The sum of the weights is a product of three axes, so it takes no volume of its own.

    Args:
        network: maps (N, C, *patch_size) to logits (N, R, *patch_size); in evaluation mode, on `device`.
        image: volume (C, D, H, W). The sums are kept on its device.
        patch_size: size of a window in voxels.
        step: distance of neighbouring windows as a part of the patch.
        mirror: average the logits over the mirrorings of each window, eight if it is mirrored along every axis.
        mirror_axes: axes of the volume (0 z, 1 y, 2 x) that windows are mirrored along.
        window_batch: windows, each mirroring counted, per forward pass.
        device: where the network is; the image's device if None.
        precision: "32", or "bf16" or "16" for autocast to bfloat16 or float16.
        channels_last: hand windows over in channels-last layout (for a network converted to it).

    Returns:
        Logits (R, D, H, W), float32, on the device of `image`.

    Raises:
        PedsegError: `step` is outside (0, 1].
        NotFiniteError: the logits are not finite.
    """
    run_on = device or image.device
    padded, interior = pad_to_window(image, patch_size)
    axes = _axis_starts(padded.shape[1:], patch_size, step)
    importance = gaussian_importance(patch_size).to(image.device)
    mirrorings = _mirrorings(mirror_axes) if mirror else [()]
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    volume = padded[None].contiguous(memory_format=layout)

    def forward(views: Sequence[Tensor]) -> Tensor:
        return network(_gather(views, layout).to(run_on))

    total: Tensor | None = None
    with reused_memory(), autocast(run_on, precision):  # one context for all windows casts the weights once
        for window, logits in _predicted(forward, volume, _windows(volume, axes, patch_size, mirrorings), window_batch):
            if total is None:
                total = image.new_zeros((logits.shape[1], *padded.shape[1:]), dtype=torch.float32)
            unmirrored = _flip(logits, window.flips).to(image.device, torch.float32)
            total[window.box[1:]].addcmul_(unmirrored[0], importance)
    assert total is not None  # noqa: S101  (a volume has at least one window)
    _divide_by_weights(total, axes, patch_size, repeats=len(mirrorings))
    if not torch.isfinite(total.sum()):
        raise NotFiniteError("the network's logits are not finite; predict with precision 32, or check the checkpoint")
    return total[interior]


def _windows(
    volume: Tensor, axes: list[list[int]], patch: Sequence[int], mirrorings: Sequence[tuple[int, ...]]
) -> Iterator[Window]:
    """Yield every mirroring of every window of (1, C, D, H, W); the last axis fastest, the mirrorings faster."""
    for start in itertools.product(*axes):
        box = (slice(None), slice(None), *(slice(s, s + p) for s, p in zip(start, patch, strict=True)))
        empty = _is_empty(volume[box])
        for flips in mirrorings:
            yield Window(box, flips, empty)


def _is_empty(view: Tensor) -> bool:
    """Whether (1, C, D, H, W) is 0 everywhere; of most windows their middle tells that they are not."""
    z, y, x = (n // 2 for n in view.shape[2:])
    return not (view[..., z, y, x].any() or view.any())


def _predicted(
    forward: Callable[[Sequence[Tensor]], Tensor], volume: Tensor, windows: Iterator[Window], size: int
) -> Iterator[tuple[Window, Tensor]]:
    """Yield windows in order with their logits (1, R, *patch), mirrored as they are; `size` to a forward pass."""
    blank: dict[int, Tensor] = {}  # logits of a pass of empty windows, by their number
    while batch := list(itertools.islice(windows, size)):
        empty, number = all(window.empty for window in batch), len(batch)
        logits = blank.get(number) if empty else None
        if logits is None:
            logits = forward([_flip(volume[window.box], window.flips) for window in batch])
        if empty:
            blank[number] = logits
        yield from zip(batch, torch.split(logits, 1), strict=True)


def pad_to_window(image: Tensor, patch: Sequence[int]) -> tuple[Tensor, tuple[slice, ...]]:
    """Pad (C, D, H, W) with 0 to at least `patch`, and return the box of the original in it."""
    missing = [max(p - s, 0) for s, p in zip(image.shape[1:], patch, strict=True)]
    before = [m // 2 for m in missing]
    interior = (slice(None), *(slice(b, b + s) for b, s in zip(before, image.shape[1:], strict=True)))
    if not any(missing):
        return image, interior
    widths = [w for b, m in zip(reversed(before), reversed(missing), strict=True) for w in (b, m - b)]
    return F.pad(image, widths), interior


def _mirrorings(axes: Sequence[int]) -> list[tuple[int, ...]]:
    """Axes of (N, C, D, H, W) to flip: none, each of `axes`, each two, all of them."""
    dimensions = [2 + axis for axis in axes]
    return [chosen for count in range(len(axes) + 1) for chosen in itertools.combinations(dimensions, count)]


def _gather(views: Sequence[Tensor], layout: torch.memory_format) -> Tensor:
    """Windows (N, C, *patch) of N views (1, C, *patch)."""
    first = views[0]
    if len(views) == 1:
        return first.contiguous(memory_format=layout)
    shape = (len(views), *first.shape[1:])
    windows = torch.empty(shape, dtype=first.dtype, device=first.device, memory_format=layout)
    for window, view in zip(windows, views, strict=True):  # torch.cat is several times slower on views
        window.copy_(view[0])
    return windows


def _flip(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return x.flip(axes) if axes else x  # an empty flip would copy


def _divide_by_weights(total: Tensor, axes: list[list[int]], patch: Sequence[int], *, repeats: int) -> None:
    """Divide (R, D, H, W) in place by the importance of all windows over each voxel, axis after axis."""
    for axis, (starts, length) in enumerate(zip(axes, patch, strict=True)):
        profile = _profile(length) * (IMPORTANCE_PEAK * repeats if axis == 0 else 1)
        weight = torch.zeros(total.shape[axis + 1], dtype=torch.float64)
        for start in starts:
            weight[start : start + length] += profile
        shape = [-1 if i == axis else 1 for i in range(len(axes))]
        total.div_(weight.float().to(total.device).reshape(shape))
