"""nnU-Net's augmentation chain: from samples, as read, to the two halves of a training batch.

The chain, its order, probabilities and ranges are those of nnU-Net v2 (`get_training_transforms`): spatial, noise,
blur, brightness, contrast, low resolution, inverted gamma, gamma, mirror, and 0 outside the brain. It runs on
whatever device the samples are on: in the loader's workers, or on the GPU that trains.

Two deliberate differences. Each mask, of a region or of ignored voxels, is interpolated and cut at one half, where
batchgeneratorsv2 takes the most likely of the exclusive labels (the two differ where three labels meet; besides,
labels whose weights differ by less than about 1/1000 tie in its half precision). And the part of a scaled patch that
nnU-Net's 205³ box does not reach is filled with the volume instead of 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pedseg.data import intensity, spatial
from pedseg.data.memory import empty
from pedseg.data.sampling import SampleKey, Stream, random_stream
from pedseg.labels import Domain

CONTRAST_RANGE = (0.75, 1.25)  # of brightness and contrast
GAMMA_RANGE = (0.7, 1.5)
NOISE_RANGE = (0.0, 0.1)
BLUR_RANGE = (0.5, 1.0)
LOW_RESOLUTION_RANGE = (0.5, 1.0)


class Sample(NamedTuple):
    """One patch as it was read.

    Attributes:
        image: (4, *box) float32, z-scores, 0 outside the brain and outside the volume.
        brain: (1, *box) bool.
        label: (3, *box) uint8 masks of WT, TC, ET, and a fourth of ignored voxels where any are; None for the target.
        affine: (3, 4) float32, output voxel → box voxel; None when the box is the patch.
        key: which sample of the run it is.
    """

    image: Tensor
    brain: Tensor
    label: Tensor | None
    affine: NDArray[np.float32] | None
    key: SampleKey


@dataclass(slots=True)
class IntensityParameters:
    """What fires for one sample, and how strongly; the defaults fire nothing.

    Attributes:
        noise: standard deviation, with the seed of the noise.
        blur: channel → sigma per axis, in voxels.
        brightness: factor per channel.
        contrast: factor per channel.
        low_resolution: channel → scale.
        inverted_gamma: exponent per channel.
        gamma: exponent per channel.
        mirror: spatial axes (0-2) to flip.
    """

    noise: tuple[float, int] | None = None
    blur: Mapping[int, Sequence[float]] = field(default_factory=dict)
    brightness: Sequence[float] | None = None
    contrast: Sequence[float] | None = None
    low_resolution: Mapping[int, float] = field(default_factory=dict)
    inverted_gamma: Sequence[float] | None = None
    gamma: Sequence[float] | None = None
    mirror: tuple[int, ...] = ()


def draw_intensity(rng: np.random.Generator, *, channels: int = 4) -> IntensityParameters:
    """Draw the parameters of one sample with nnU-Net's probabilities and ranges."""
    drawn = IntensityParameters()
    fires = rng.random(7) < (0.1, 0.2, 0.15, 0.15, 0.25, 0.1, 0.3)
    if fires[0]:
        drawn.noise = (rng.uniform(*NOISE_RANGE), int(rng.integers(2**62)))
    if fires[1]:
        drawn.blur = {c: rng.uniform(*BLUR_RANGE, 3).tolist() for c in _half_of(rng, channels)}
    if fires[2]:
        drawn.brightness = _factors(rng, CONTRAST_RANGE, channels)
    if fires[3]:
        drawn.contrast = _factors(rng, CONTRAST_RANGE, channels)
    if fires[4]:
        drawn.low_resolution = {c: rng.uniform(*LOW_RESOLUTION_RANGE) for c in _half_of(rng, channels)}
    if fires[5]:
        drawn.inverted_gamma = _factors(rng, GAMMA_RANGE, channels)
    if fires[6]:
        drawn.gamma = _factors(rng, GAMMA_RANGE, channels)
    drawn.mirror = _half_of(rng, 3)
    return drawn


def _half_of(rng: np.random.Generator, count: int) -> tuple[int, ...]:
    """Each of `count` indices with probability one half."""
    return tuple(np.flatnonzero(rng.integers(2, size=count)).tolist())


def _factors(rng: np.random.Generator, limits: tuple[float, float], count: int) -> list[float]:
    """Half of the factors uniform below 1, half above."""
    low, high = limits
    return [rng.uniform(low, 1.0) if below else rng.uniform(1.0, high) for below in rng.integers(2, size=count)]


def draw_dropped(rng: np.random.Generator, *, probability: float, channels: int = 4) -> list[int]:
    """Draw the channels of a sample that are left out: each with the given probability, and never all of them.

    A channel that is left out is 0 everywhere, which no sequence is inside the brain: that tells a network so.
    """
    dropped = rng.random(channels) < probability
    if dropped.all():
        dropped[rng.integers(channels)] = False
    return [int(channel) for channel in np.flatnonzero(dropped)]


def apply_intensity(image: Tensor, drawn: IntensityParameters) -> None:
    """Run steps 2 to 8 of the chain on an image (4, D, H, W), in place."""
    if drawn.noise is not None:
        intensity.add_noise(image, sigma=drawn.noise[0], seed=drawn.noise[1])
    intensity.blur(image, sigmas=drawn.blur)
    if drawn.brightness is not None:
        intensity.scale_brightness(image, factors=drawn.brightness)
    if drawn.contrast is not None:
        intensity.scale_contrast(image, factors=drawn.contrast)
    intensity.lower_resolution(image, scales=drawn.low_resolution)
    if drawn.inverted_gamma is not None:
        intensity.apply_gamma(image, gammas=drawn.inverted_gamma, invert=True)
    if drawn.gamma is not None:
        intensity.apply_gamma(image, gammas=drawn.gamma, invert=False)


class Augmentation:
    """Turn the samples of one domain into that half of a batch.

    Args:
        patch_size: voxels per axis of the batch.
        seed: of the run.
        enabled: False passes the patches through (validation, ``augmentation=none``).
        drop_modality: probability that a sequence of a sample is left out, see `draw_dropped`.
    """

    def __init__(
        self, *, patch_size: Sequence[int], seed: int, enabled: bool = True, drop_modality: float = 0.0
    ) -> None:
        self.patch_size = tuple(patch_size)
        self.seed = seed
        self.enabled = enabled
        self.drop_modality = drop_modality

    @torch.no_grad()
    def __call__(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Batch as ``{"image": (n, 4, *patch) float32, "label": (n, masks, *patch) bool}``, no "label" for targets.

        The image of a sample whose box is its patch is changed in place.
        """
        first = samples[0]
        shape = (len(samples), first.image.shape[0], *self.patch_size)
        batch = {"image": empty(shape, first.image.device)}
        if first.label is not None:
            masks = first.label.shape[0]
            batch["label"] = torch.empty(
                (shape[0], masks, *self.patch_size), dtype=torch.bool, device=first.image.device
            )
        for row, sample in enumerate(samples):
            image, label, mirror = self._transform(sample)
            _mirror_into(batch["image"][row], image, mirror)
            if label is not None:
                _mirror_into(batch["label"][row], label, mirror)
        return batch

    def _transform(self, sample: Sample) -> tuple[Tensor, Tensor | None, tuple[int, ...]]:
        """Everything but the mirroring, which the caller does while it copies the sample into the batch."""
        image, brain, label = sample.image, sample.brain, sample.label
        if sample.affine is not None:
            image, brain, label = _resample_sample(sample, self.patch_size)
        drawn = IntensityParameters()
        if self.enabled:
            drawn = draw_intensity(random_stream(self.seed, sample.key, Stream.INTENSITY), channels=image.shape[0])
            apply_intensity(image, drawn)
            image.mul_(brain)
        if self.drop_modality:
            rng = random_stream(self.seed, sample.key, Stream.MODALITY)
            image[draw_dropped(rng, probability=self.drop_modality, channels=image.shape[0])] = 0
        return image, label, drawn.mirror


def _resample_sample(sample: Sample, patch_size: Sequence[int]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Rotate and scale image, brain mask and label; a mask holds where it weighs more than one half."""
    assert sample.affine is not None  # noqa: S101 (for the type checker)
    channels = sample.image.shape[0]
    patch = spatial.resample((*sample.image, *sample.brain), sample.affine, patch_size)
    label = None if sample.label is None else spatial.resample_masks(sample.label, sample.affine, patch_size)
    return patch[:channels], patch[channels:] > 0.5, label  # noqa: PLR2004 (one half)


def _mirror_into(destination: Tensor, source: Tensor, axes: tuple[int, ...]) -> None:
    """Copy (C, D, H, W), flipped along spatial `axes`; by channel, so that the flipped copy stays in cached memory."""
    for row, values in zip(destination, source, strict=True):
        row.copy_(values.flip(axes) if axes else values)


class Collate:
    """Group samples by domain; augment them too unless that is left to the training device.

    Picklable, since it is sent to worker processes.

    Args:
        augmentation: the chain, or None to only group.
    """

    def __init__(self, augmentation: Augmentation | None) -> None:
        self.augmentation = augmentation

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """``{"source": …, "target": …}`` of lists of samples or of batches; a domain without samples is left out."""
        sides = {str(side): [s for s in samples if s.key.side is side] for side in Domain}
        present = {side: members for side, members in sides.items() if members}
        return dict(present) if self.augmentation is None else augment_sides(present, self.augmentation)


def augment_sides(sides: Mapping[str, Sequence[Sample]], augmentation: Augmentation) -> dict[str, dict[str, Tensor]]:
    """Run the chain on each domain's samples."""
    return {side: augmentation(samples) for side, samples in sides.items()}
