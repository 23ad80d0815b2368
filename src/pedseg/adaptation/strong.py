"""Intensity changes far beyond nnU-Net's: the grey values of other scanners and contrasts, the same anatomy."""

from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from pedseg.adaptation.method import Draw, Images, Method, Stage, Takes, inside, present, sent
from pedseg.labels import Domain
from pedseg.settings.signature import Share

KNOTS = 6  # of the random tone curve
RANGE = 3.0  # z-scores that the curve spans on either side of 0; beyond it is continued
MOST_NOISE = 0.2  # standard deviation in z-scores at full strength


class StrongAugmentation(Method):
    """Random tone curves and noise on the images of the chosen domains, modality by modality.

    The tone curve is monotone with probability one half, else any continuous map of grey values: then even the order
    of tissues may change (in the manner of the Bézier curves of Zhou et al. 2019, Models Genesis). Beside an adversary
    both domains need it, or the augmentation tells them apart.

    Args:
        probability: that a modality of a sample is changed.
        strength: 0 changes nothing; 1 draws knots with a standard deviation of one z-score, and noise of up to 0.2.
        sides: domains whose images are changed.
    """

    stage = Stage.AUGMENTATION
    takes = Takes.NOTHING
    needs_target = False
    reads_target = False

    def __init__(
        self,
        *,
        probability: Share = 0.8,
        strength: Share = 0.5,
        sides: Annotated[tuple[Domain, ...], Field(min_length=1)] = (Domain.SOURCE, Domain.TARGET),
    ) -> None:
        super().__init__()
        self.probability = probability
        self.strength = strength
        self.sides = sides

    def change(self, images: Images, draw: Draw) -> Images:
        """Change the images of the chosen domains."""
        return {
            domain: strongly_augmented(
                image, draw, purpose=f"strong {domain}", probability=self.probability, strength=self.strength
            )
            if domain in self.sides
            else image
            for domain, image in images.items()
        }

    def description(self) -> dict[str, Any]:
        """Probability and strength."""
        return {"probability": self.probability, "strength": self.strength}


@torch.no_grad()
def strongly_augmented(images: Tensor, draw: Draw, *, purpose: str, probability: float, strength: float) -> Tensor:
    """Changed copy of z-scored images (n, modalities, D, H, W), 0 outside the brain.

    What happens to a sample is a function of its place in the run alone (`Draw`), its noise also of the device.
    """
    changed = images.clone()
    for index, sample in enumerate(changed):
        rng = draw.stream(purpose, sample=index, samples=len(images))
        for values in sample:
            fires = rng.random() < probability
            curve = tone_curve(rng, strength=strength)
            noise, seed = rng.uniform(0, MOST_NOISE * strength), int(rng.integers(2**62))
            if fires:
                values.copy_(apply_curve(values, curve))
                generator = torch.Generator(values.device).manual_seed(seed)
                values.add_(torch.randn(values.shape, generator=generator, device=values.device), alpha=noise)
    return changed.mul_(inside(images) & present(images))


def tone_curve(rng: np.random.Generator, *, strength: float) -> list[float]:
    """New values of `KNOTS` evenly spaced grey values from -`RANGE` to `RANGE`; sorted half of the time."""
    knots = np.linspace(-RANGE, RANGE, KNOTS) + strength * rng.standard_normal(KNOTS)
    return [float(v) for v in (np.sort(knots) if rng.random() < 0.5 else knots)]  # noqa: PLR2004  (one half)


def apply_curve(values: Tensor, curve: list[float]) -> Tensor:
    """Map grey values through the piecewise linear curve; its ends are continued with slope 1."""
    knots = sent(torch.tensor(curve, dtype=values.dtype), values.device)
    place = ((values + RANGE) * ((KNOTS - 1) / (2 * RANGE))).clamp(0, KNOTS - 1)
    below = place.floor().clamp(max=KNOTS - 2).long()
    mapped = torch.lerp(knots[below], knots[below + 1], place - below)
    return mapped + values - values.clamp(-RANGE, RANGE)
