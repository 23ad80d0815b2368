"""Source images in the look of the target, labels kept.

Low-frequency amplitudes (Yang and Soatto 2020) or grey-value histograms (Nyúl et al. 2000) of a target sample.
"""

from typing import Any

import torch
from torch import Tensor

from pedseg.adaptation.method import Draw, Images, Method, inside
from pedseg.labels import Domain

QUANTILES = 65  # of the histograms
FEWEST_VOXELS = 100  # of brain in a patch, to have a histogram


class _Style(Method):
    """Gives each source sample, with some probability, the look of a target sample of the same batch and process."""

    def __init__(self, *, probability: float = 0.5) -> None:
        super().__init__()
        self.probability = probability

    @torch.no_grad()
    def change(self, images: Images, draw: Draw) -> Images:
        """Change source images; a batch without a target stays as it is."""
        if len(images) < len(Domain):
            return images
        source, target = images[Domain.SOURCE].clone(), images[Domain.TARGET]
        for index, image in enumerate(source):
            rng = draw.stream(type(self).__name__, sample=index, samples=len(source))
            model = target[int(rng.integers(len(target)))]
            if rng.random() < self.probability:
                brain = inside(image[None])[0]
                source[index] = self._restyled(image, model, brain) * brain
        return {**images, Domain.SOURCE: source}

    def _restyled(self, image: Tensor, model: Tensor, brain: Tensor) -> Tensor:
        raise NotImplementedError

    def description(self) -> dict[str, Any]:
        """Probability."""
        return {"probability": self.probability}


class FourierStyle(_Style):
    """Exchange the amplitudes of the lowest spatial frequencies and keep the phase, in 3-D.

    Fourier domain adaptation: Yang and Soatto 2020, eq. 3.

    Args:
        probability: that a source sample is changed.
        beta: half width of the exchanged cube of frequencies, as a share of the patch (the paper's β, 0.01-0.09).
    """

    def __init__(self, *, probability: float = 0.5, beta: float = 0.05) -> None:
        super().__init__(probability=probability)
        self.beta = beta

    def _restyled(self, image: Tensor, model: Tensor, brain: Tensor) -> Tensor:
        del brain
        ours, theirs = (torch.fft.fftn(x.float(), dim=(1, 2, 3)) for x in (image, model))
        low = torch.ones(image.shape[1:], dtype=torch.bool, device=image.device)
        for axis, size in enumerate(image.shape[1:]):
            frequency = torch.fft.fftfreq(size, device=image.device).abs() * size
            near = frequency <= max(1, int(self.beta * size))
            low &= near.view([-1 if a == axis else 1 for a in range(3)])
        amplitude = torch.where(low, theirs.abs(), ours.abs())
        restyled: Tensor = torch.fft.ifftn(torch.polar(amplitude, ours.angle()), dim=(1, 2, 3)).real
        return restyled.to(image.dtype)


class HistogramStyle(_Style):
    """Match the quantiles of the brain's grey values, modality by modality (Nyúl et al. 2000)."""

    def _restyled(self, image: Tensor, model: Tensor, brain: Tensor) -> Tensor:
        other = inside(model[None])[0]
        if min(int(brain.sum()), int(other.sum())) < FEWEST_VOXELS:
            return image
        return torch.stack([_matched(a, b, brain[0], other[0]) for a, b in zip(image, model, strict=True)])


def _matched(values: Tensor, model: Tensor, brain: Tensor, other: Tensor) -> Tensor:
    """Piecewise linear map of the quantiles of `values` in `brain` onto those of `model` in `other`."""
    levels = torch.linspace(0, 1, QUANTILES, device=values.device)
    before, after = (_quantiles(x[mask], levels) for x, mask in ((values, brain), (model, other)))
    above = torch.searchsorted(before, values.contiguous()).clamp(1, QUANTILES - 1)
    low, high = before[above - 1], before[above]
    share = ((values - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
    return torch.lerp(after[above - 1], after[above], share)


def _quantiles(values: Tensor, levels: Tensor) -> Tensor:
    """Quantiles without interpolation (torch.quantile has a limit of 16 million values)."""
    ordered = values.float().sort().values
    return ordered[(levels * (len(ordered) - 1)).round().long()]
