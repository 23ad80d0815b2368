"""nnU-Net's intensity transforms, in place, on the device of their input.

Each takes the parameters that were drawn for it and an image (C, D, H, W) in float32, and changes that image.
Meaning and order follow batchgeneratorsv2 0.3.6 (docs of nnU-Net v2, `get_training_transforms`); the arithmetic is
arranged anew.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_SMALLEST_RANGE = 1e-7  # below it an image counts as constant, batchgeneratorsv2's epsilon


def add_noise(image: Tensor, *, sigma: float, seed: int) -> None:
    """Add Gaussian noise of standard deviation `sigma` to all channels.

    The noise comes from a generator of its own on the image's device, so that it depends on nothing but `seed`.
    """
    generator = torch.Generator(image.device).manual_seed(seed)
    noise = torch.empty_like(image[0])
    for values in image:
        values.add_(noise.normal_(generator=generator), alpha=sigma)


def blur(image: Tensor, *, sigmas: Mapping[int, Sequence[float]]) -> None:
    """Gaussian blur of single channels; `sigmas` holds one value in voxels per axis for each channel it fires on.

    One matrix product per axis: at patch sizes it beats one-dimensional convolutions, whose arithmetic is less but
    slower.
    """
    for channel, per_axis in sigmas.items():
        depth, height, width = (
            _blur_matrix(size, sigma).to(image.device) for size, sigma in zip(image.shape[1:], per_axis, strict=True)
        )
        blurred = torch.matmul(height, torch.matmul(image[channel], width.T))
        torch.matmul(depth, blurred.flatten(1), out=image[channel].view(len(depth), -1))


def _blur_matrix(size: int, sigma: float) -> Tensor:
    """Matrix (size, size) of a normalised Gaussian with mirrored borders.

    The kernel spans the odd number nearest to ``6 sigma + 0.5`` (3, 5 or 7 voxels for sigma in 0.5-1).
    """
    span = 6.0 * sigma + 0.5
    radius = round((span - 1.0) / 2.0)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    source = (torch.arange(size)[:, None] + offsets).abs()
    source = torch.where(source > size - 1, 2 * (size - 1) - source, source).clamp_(0, size - 1)
    return torch.zeros(size, size).scatter_add_(1, source, weights.expand(size, -1))


def scale_brightness(image: Tensor, *, factors: Sequence[float]) -> None:
    """Multiply each channel by its factor."""
    image.mul_(_per_channel(factors, image))


def scale_contrast(image: Tensor, *, factors: Sequence[float]) -> None:
    """Stretch each channel about its mean by its factor, within its original range."""
    for values, factor in zip(image, factors, strict=True):
        low, high = torch.aminmax(values)
        shift = values.mean() * (1.0 - factor)
        values.mul_(factor).add_(shift).clamp_(low, high)


def lower_resolution(image: Tensor, *, scales: Mapping[int, float]) -> None:
    """Simulate a coarser acquisition of single channels: nearest-neighbour down by `scales`, linear up again."""
    shape = tuple(image.shape[1:])
    for channel, scale in scales.items():
        coarse = [max(1, round(size * scale)) for size in shape]
        down = F.interpolate(image[None, channel : channel + 1], coarse, mode="nearest-exact")
        image[channel] = F.interpolate(down, shape, mode="trilinear")[0, 0]


def apply_gamma(image: Tensor, *, gammas: Sequence[float], invert: bool) -> None:
    """Gamma of each channel over its own range, its mean and standard deviation kept.

    With `invert` the negative image is transformed: a gamma above 1 then darkens bright tissue instead of dark tissue.
    Mean and standard deviation are restored by one affine map, so the range need not be restored first.
    """
    for values, gamma in zip(image, gammas, strict=True):
        low, high = torch.aminmax(values)
        mean, deviation = _mean_and_deviation(values)
        scale = (high - low).clamp_(min=_SMALLEST_RANGE).reciprocal_()
        if invert:
            values.mul_(-scale).add_(high * scale)
        else:
            values.mul_(scale).sub_(low * scale)
        values.clamp_(min=0.0).pow_(gamma)
        new_mean, new_deviation = _mean_and_deviation(values)
        gain = deviation / new_deviation.clamp_(min=_SMALLEST_RANGE)
        gain = -gain if invert else gain
        values.mul_(gain).add_(mean - gain * new_mean)


def _mean_and_deviation(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased standard deviation of (D, H, W), twenty times faster on a CPU than `torch.std`.

    Sums of single slices in float32, put together in float64, so that the difference of squares loses nothing.
    """
    slices = values.flatten(1)
    mean = slices.sum(1).double().sum() / values.numel()
    square = torch.linalg.vector_norm(slices, dim=1).double().square().sum()
    variance = (square - values.numel() * mean**2) / max(values.numel() - 1, 1)
    return mean, variance.clamp_(min=0.0).sqrt_()


def _per_channel(factors: Sequence[float], image: Tensor) -> Tensor:
    return torch.tensor(factors, dtype=image.dtype).to(image.device).view(-1, 1, 1, 1)
