"""What an adaptation method is, and what it sees of a training step: images and outputs, never a label."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import AfterValidator
from torch import Tensor, nn

from pedseg.labels import Domain, Region
from pedseg.networks import NetworkOutput, SegmentationNetwork
from pedseg.schedules import linear_ramp
from pedseg.settings.signature import SettingError, Share

Images = Mapping[Domain, Tensor]  # (n, modalities, D, H, W); a side that is absent from a batch is left out
Log = Callable[[str, Tensor, int | Tensor], None]  # name below "train/", value, samples that it is a mean of
Schedule = Callable[[float], float]  # of progress in [0, 1)

LEAST_BRAIN = 0.1  # share of a patch's voxels below which its brain says little of a look or of a prediction


def _rising(bounds: tuple[float, float]) -> tuple[float, float]:
    if not bounds[0] < bounds[1]:
        raise ValueError("give [low, high], the first below the second")
    return bounds


Part = Literal[Region.TC, Region.ET]  # of WT
Interval = Annotated[tuple[Share, Share], AfterValidator(_rising)]


class Stage(StrEnum):
    """Where in a training step a method acts; methods are applied in this order, those of one stage by their names."""

    STYLE = "style of the source"  # images of the source get the look of the target
    AUGMENTATION = "augmentation"  # images are changed, whatever they look like
    NORMS = "norms"  # how the network normalises
    FEATURES = "features"  # a term of the loss that aligns what the network makes of both domains
    LABELS = "pseudo-labels"  # a term by labels of the target that a network gives
    OUTPUTS = "predictions"  # a term on predictions of the target by themselves


class Takes(StrEnum):
    """What a method takes from the target into the network's weights."""

    NOTHING = "nothing"
    IMAGES = "images"  # grey values
    STATISTICS = "statistics"  # of features, in the norms
    OUTPUTS = "outputs"  # features or predictions


@dataclass(frozen=True, slots=True)
class Draw:
    """Where in a run a random number is drawn; the same place gives the same number, whatever was drawn before.

    Samples are numbered over all processes, so that two processes draw what one with the whole batch does (each side
    is of one size in all of them), and a resumed run what an uninterrupted one does.

    Attributes:
        seed: of the run.
        epoch: counted from 0.
        batch: index in the epoch.
        rank: of the process.
    """

    seed: int
    epoch: int
    batch: int
    rank: int = 0

    def stream(self, purpose: str, *, sample: int = 0, samples: int = 1) -> np.random.Generator:
        """Random numbers for one sample of this process's `samples`."""
        number = self.rank * samples + sample
        key = [self.seed, self.epoch, self.batch, number, *purpose.encode()]
        return np.random.default_rng(key)


@dataclass(frozen=True, slots=True)
class Step:
    """One training step as a method sees it.

    Attributes:
        network: the segmentation network.
        loaded: images as the loader gave them, by domain.
        images: what the network was given: the same after every method's changes, without the target if no method
            `reads_target`.
        output: what it made of `images`, source before target.
        draw: source of random numbers.
        log: notes a value for the dashboard.
        watched: whether gradient norms of this step are asked for.
        scale: what the loss will be multiplied with before the backward (mixed precision).
    """

    network: SegmentationNetwork
    loaded: Images
    images: Images
    output: NetworkOutput
    draw: Draw
    log: Log
    watched: bool = False
    scale: float = 1.0

    @property
    def domain(self) -> Tensor:
        """Index of the domain of each sample: 0 source, 1 target."""
        device = self.output.logits[0].device
        sides = [(list(Domain).index(domain), len(image)) for domain, image in self.images.items()]
        return torch.cat([torch.full((samples,), index, device=device) for index, samples in sides])

    def target_logits(self) -> Tensor | None:
        """Full-size logits (n, regions, D, H, W) of the target, float32; None if the network was given none."""
        if Domain.TARGET not in self.images:
            return None
        return self.output.logits[0][-len(self.images[Domain.TARGET]) :].float()


class Method(nn.Module):
    """A term of the loss or a change of the images. What a method learns or remembers is in its state dict.

    The settings of a method are the keyword arguments of its constructor, whose types and ranges are checked before it
    is called (`pedseg.settings.signature`). What does not fit another setting, or the network, is refused by a
    `SettingError` of the constructor, or of `start`.

    Attributes:
        stage: where it acts; each class says so.
        takes: what it takes from the target; each class says so.
        needs_target: whether it does anything without target images.
        reads_target: whether `loss` looks at what the network makes of the target (`Step.output`). Where no method
            does, the target is spared the way through the network.
        separates_domains: whether the two sides must go through the network apart, and leave only the target's
            statistics in its batch norms.
        strengths: settings of which each, at 0, keeps all that it `takes` from the network's weights.
        gradient_norms: what the hooks of a watched step have left, by name.
    """

    stage: ClassVar[Stage]
    takes: ClassVar[Takes]
    strengths: ClassVar[tuple[str, ...]] = ()
    needs_target = True
    reads_target = True
    separates_domains = False

    def __init__(self) -> None:
        super().__init__()
        self.gradient_norms: dict[str, Tensor] = {}

    @classmethod
    def takes_with(cls, settings: Mapping[str, Any]) -> Takes:
        """What it takes from the target with these settings; what they leave out has its default."""
        defaults = {name: argument.default for name, argument in inspect.signature(cls).parameters.items()}
        values = {**defaults, **settings}
        return Takes.NOTHING if any(values[name] == 0 for name in cls.strengths) else cls.takes

    def start(self, network: SegmentationNetwork) -> None:
        """Look at the network once, with the weights that it starts from.

        Raises:
            PedsegError: the settings do not fit it.
        """

    def start_epoch(self, progress: float) -> dict[str, float]:
        """Follow the schedules; return what the dashboard shows of them."""
        del progress
        return {}

    def change(self, images: Images, draw: Draw) -> Images:
        """Images to train on; labels of the source stay as they are."""
        del draw
        return images

    def loss(self, step: Step) -> Tensor | None:
        """Weighted term of the loss, a scalar; None if there is none in this step."""
        del step
        return None

    def finish_step(self, network: SegmentationNetwork) -> None:
        """Follow the network after the update of its weights."""

    def description(self) -> dict[str, Any]:
        """What a checkpoint says of the method, in plain Python."""
        return {}


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Copy what was made on the host to `device`, without waiting for what it computes."""
    host = values.pin_memory() if device.type == "cuda" else values
    return host.to(device, non_blocking=True)


def inside(images: Tensor) -> Tensor:
    """Brain (n, 1, D, H, W) of images (n, modalities, D, H, W): outside it all modalities are exactly 0."""
    return (images != 0).any(1, keepdim=True)


def present(images: Tensor) -> Tensor:
    """Which modalities (n, modalities, 1, 1, 1) of images are there: one that a sample lacks is 0 everywhere."""
    return (images != 0).flatten(2).any(2)[..., None, None, None]


def brain_mean(values: Tensor, brain: Tensor) -> Tensor:
    """Mean over samples of the means of `values` (n, C, D, H, W) over the voxels of `brain` (n, 1, D, H, W), a scalar.

    A patch with hardly any brain counts less than a full one: its sum is divided by `LEAST_BRAIN` of its voxels at
    least. As a mean over samples it is the mean of what processes with equal shares of a batch get.
    """
    voxels = brain.float().sum((1, 2, 3, 4)).clamp(min=LEAST_BRAIN * brain[0].numel())
    return ((values * brain).sum((1, 2, 3, 4)) / (voxels * values.shape[1])).mean()


def batch_norms(network: nn.Module) -> list[nn.BatchNorm3d | nn.SyncBatchNorm]:
    """Norms through which the samples of a batch act on each other."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm3d | nn.SyncBatchNorm)]


@contextmanager
def running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Let batch norms normalise by the batch as in any training step, but not add it to their running statistics."""
    norms = batch_norms(network)
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def ramp(*, maximum: float, start: float, end: float, prefix: str = "") -> Schedule:
    """Schedule that rises linearly from 0 at `start` to `maximum` at `end`.

    Args:
        maximum: its last value.
        start: progress at which it begins to rise.
        end: and at which it is at its maximum.
        prefix: of the settings' names.

    Raises:
        SettingError: it does not rise.
    """
    if not start < end:
        raise SettingError(f"{prefix}start", start, f"the rise ends at {prefix}end={end}; give less")
    return partial(linear_ramp, start=start, end=end, maximum=maximum)
