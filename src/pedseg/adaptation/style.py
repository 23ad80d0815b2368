"""Source images in the look of the target, labels kept.

Low-frequency amplitudes (Yang and Soatto 2020) or grey-value histograms (Nyúl et al. 2000) of a target sample.
"""

from abc import ABC, abstractmethod
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from pedseg.adaptation.method import LEAST_BRAIN, Draw, Images, Method, Stage, Takes, inside, present
from pedseg.labels import Domain
from pedseg.settings.signature import Number, Share

QUANTILES = 65  # of the histograms


class _Style(Method, ABC):
    """Gives each source sample, with some probability, the look of the target sample at its place in the batch.

    Where the target has fewer samples they take turns. Patches are drawn independently, so this pairs at random, and
    with batches shared evenly by several processes in the same way as in one. A patch with hardly any brain neither
    takes nor gives a look, nor does a modality that a sample lacks.
    """

    stage = Stage.STYLE
    takes = Takes.IMAGES
    reads_target = False
    strengths = ("probability",)

    def __init__(self, *, probability: Share = 0.5) -> None:
        super().__init__()
        self.probability = probability

    @torch.no_grad()
    def change(self, images: Images, draw: Draw) -> Images:
        """Change source images; a batch without a target stays as it is."""
        if len(images) < len(Domain):
            return images
        source, target = images[Domain.SOURCE].clone(), images[Domain.TARGET]
        brains, models = inside(source), inside(target)
        ours, theirs = present(source), present(target)
        for index, image in enumerate(source):
            place = index % len(target)
            fires = draw.stream(type(self).__name__, sample=index, samples=len(source)).random() < self.probability
            brain, model_brain = brains[index], models[place]
            if fires:
                restyled = self._restyled(image.float(), target[place].float(), brain[0], model_brain[0])
                enough = torch.minimum(brain.float().mean(), model_brain.float().mean()) >= LEAST_BRAIN
                image.copy_(torch.where(enough & ours[index] & theirs[place], restyled * brain, image))
        return {**images, Domain.SOURCE: source}

    @abstractmethod
    def _restyled(self, image: Tensor, model: Tensor, brain: Tensor, model_brain: Tensor) -> Tensor:
        """New grey values (modalities, D, H, W) of `image`; brains are (D, H, W)."""

    def description(self) -> dict[str, Any]:
        """Probability."""
        return {"probability": self.probability}


class FourierStyle(_Style):
    """Exchange the amplitudes of the lowest spatial frequencies and keep the phase, in 3-D.

    Fourier domain adaptation (FDA: Yang and Soatto 2020, section 3.1), modality by modality. One difference: frequency
    0 stays the source's. Its amplitude is the absolute value of the mean and its phase the sign, which is + for the
    paper's pictures but arbitrary for z-scores; these have been brought to one mean already.

    Args:
        probability: that a source sample is changed.
        beta: half width of the exchanged box of frequencies, as a share of the patch (the paper's β, 0.01-0.09); one
            frequency at least.
    """

    def __init__(self, *, probability: Share = 0.5, beta: Annotated[Number, Field(ge=0, le=0.5)] = 0.05) -> None:
        super().__init__(probability=probability)
        self.beta = beta

    def description(self) -> dict[str, Any]:
        """Probability and beta."""
        return {**super().description(), "beta": self.beta}

    def _restyled(self, image: Tensor, model: Tensor, brain: Tensor, model_brain: Tensor) -> Tensor:
        del brain, model_brain
        shape = image.shape[1:]
        ours, theirs = (torch.fft.rfftn(x, dim=(1, 2, 3)) for x in (image, model))
        low = torch.ones(ours.shape[1:], dtype=torch.bool, device=image.device)
        constant = low.clone()
        for axis, size in enumerate(shape):
            frequency = torch.arange(low.shape[axis], device=image.device)
            near = torch.minimum(frequency, size - frequency) <= max(1, int(self.beta * size))
            along = [-1 if a == axis else 1 for a in range(3)]
            low &= near.view(along)
            constant &= (frequency == 0).view(along)
        mixed = torch.where(low & ~constant, torch.polar(theirs.abs(), ours.angle()), ours)
        restyled: Tensor = torch.fft.irfftn(mixed, s=shape, dim=(1, 2, 3))
        return restyled


class HistogramStyle(_Style):
    """Match the quantiles of the brain's grey values, modality by modality (Nyúl et al. 2000).

    Args:
        probability: that a source sample is changed.
    """

    def _restyled(self, image: Tensor, model: Tensor, brain: Tensor, model_brain: Tensor) -> Tensor:
        return torch.stack([_matched(a, b, brain, model_brain) for a, b in zip(image, model, strict=True)])


def _matched(values: Tensor, model: Tensor, brain: Tensor, model_brain: Tensor) -> Tensor:
    """Piecewise linear map of the quantiles of `values` in `brain` onto those of `model` in `model_brain`."""
    before, after = _quantiles(values, brain), _quantiles(model, model_brain)
    above = torch.searchsorted(before, values.contiguous()).clamp(1, QUANTILES - 1)
    low, high = before[above - 1], before[above]
    share = ((values - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
    return torch.lerp(after[above - 1], after[above], share)


def _quantiles(values: Tensor, mask: Tensor) -> Tensor:
    """Quantiles in `mask`, without interpolation (torch.quantile has a limit of 16 million values)."""
    levels = torch.linspace(0, 1, QUANTILES, dtype=torch.float64, device=values.device)
    ordered = _ordered(torch.where(mask, values, torch.inf).flatten())
    return ordered[(levels * (mask.sum() - 1)).round().long().clamp(min=0)]


def _ordered(values: Tensor) -> Tensor:
    """Values in ascending order; NumPy's sort is ten times as fast as PyTorch's on the CPU.

    It cannot sort tensors that hold no values, by which `pedseg.planning` counts memory.
    """
    if values.device.type != "cpu" or type(values) is not Tensor:
        return values.sort().values
    return torch.from_numpy(np.sort(values.numpy()))
