"""From the settings of the group `adaptation` to its methods."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from pedseg.adaptation import (
    DomainAdversary,
    DomainNorm,
    EntropyMinimisation,
    FourierStyle,
    HistogramStyle,
    MeanTeacher,
    Method,
    SizePrior,
    StrongAugmentation,
)
from pedseg.adaptation.adversary import CONDITIONS
from pedseg.errors import PedsegError
from pedseg.labels import Domain, Region
from pedseg.networks import DomainClassifier, SegmentationNetwork
from pedseg.schedules import linear_ramp

Settings = Mapping[str, Any]
Schedule = Callable[[float], float]


def build_methods(adaptation: Settings, network: SegmentationNetwork) -> dict[str, Method]:
    """Build the methods that are switched on, in the order of `BUILDERS`.

    Raises:
        PedsegError: a method is unknown, its settings are absent, out of their range or do not fit the network.
    """
    chosen = {name for name, on in adaptation["methods"].items() if on}
    unknown = sorted(chosen - set(BUILDERS))
    if unknown:
        raise PedsegError(f"adaptation.methods.{unknown[0]} is unknown; there are {', '.join(BUILDERS)}")
    for name in sorted(chosen):
        if ("decoder_stage" if name == "dann" else name) not in adaptation:
            raise PedsegError(
                f"adaptation.methods.{name} is on but has no settings; choose it by adaptation=[..., {name}]"
            )
    return {name: build(adaptation, network) for name, build in BUILDERS.items() if name in chosen}


def _adversary(adaptation: Settings, network: SegmentationNetwork) -> Method:
    """Domain classifiers at the chosen stages, for the input that they will get."""
    chosen = adaptation["decoder_stage"]
    stages = [_stage(int(s), network) for s in (chosen if isinstance(chosen, Sequence) else [chosen])]
    reads = adaptation["reads"]
    classifiers = {}
    for stage in stages:
        channels, size = network.bottleneck_shape if stage == 0 else network.decoder_shapes[stage - 1]
        if reads == "conditioned":
            channels *= CONDITIONS
        elif reads == "entropy":
            channels, size = 2 * len(Region), network.decoder_shapes[-1][1]
        settings = _fitting(adaptation["classifier"], size)
        classifiers[stage] = DomainClassifier(in_channels=channels, input_size=size, **settings)
    return DomainAdversary(
        classifiers=classifiers,
        alpha_schedule=_ramp(
            "adaptation.alpha",
            start=adaptation["alpha_start"],
            end=adaptation["alpha_end"],
            maximum=adaptation["alpha_max"],
        ),
        lambda_domain=adaptation["lambda_domain"],
        reads=reads,
    )


def _fitting(classifier: Settings, size: Sequence[int]) -> Settings:
    """Settings with no more blocks than an input of `size` voxels can be halved.

    One setting then does for stages of several sizes. The paper's form (``pooling=flatten``) is built as it is asked
    for, or not at all.
    """
    if classifier["pooling"] == "flatten":
        return classifier
    return {**classifier, "blocks": max(1, min(classifier["blocks"], int(math.log2(min(size)))))}


def _stage(chosen: int, network: SegmentationNetwork) -> int:
    """Decoder stage counted from the deepest, 0 the bottleneck; negative numbers count from the full-size one."""
    stages = len(network.decoder_shapes)
    stage = chosen if chosen >= 0 else stages + 1 + chosen
    if not 0 <= stage <= stages or (chosen < 0 and stage == 0):
        raise PedsegError(
            f"adaptation.decoder_stage={chosen}: this network has {stages}; use 1 to {stages}, or 0 for the bottleneck"
        )
    return stage


def _mean_teacher(adaptation: Settings, network: SegmentationNetwork) -> Method:
    del network
    settings, weight = _weighted("mean_teacher", adaptation)
    return MeanTeacher(weight_schedule=weight, **settings)


def _entropy(adaptation: Settings, network: SegmentationNetwork) -> Method:
    del network
    settings, weight = _weighted("entropy", adaptation)
    return EntropyMinimisation(weight_schedule=weight, **settings)


def _prior(adaptation: Settings, network: SegmentationNetwork) -> Method:
    del network
    settings, weight = _weighted("prior", adaptation)
    return SizePrior(weight_schedule=weight, **settings)


def _strong(adaptation: Settings, network: SegmentationNetwork) -> Method:
    del network
    settings = dict(adaptation["strong"])
    sides = settings.pop("sides")
    if not sides or not set(sides) <= set(Domain):
        raise PedsegError(f"adaptation.strong.sides={sides} are not among {', '.join(Domain)}")
    return StrongAugmentation(sides=tuple(Domain(side) for side in sides), **settings)


def _norm(adaptation: Settings, network: SegmentationNetwork) -> Method:
    del network
    return DomainNorm(**adaptation["norm"])


def _fourier(adaptation: Settings, network: SegmentationNetwork) -> Method:
    del network
    return FourierStyle(**adaptation["fourier"])


def _histogram(adaptation: Settings, network: SegmentationNetwork) -> Method:
    del network
    return HistogramStyle(**adaptation["histogram"])


def _weighted(name: str, adaptation: Settings) -> tuple[dict[str, Any], Schedule]:
    """Settings of a method, and the schedule that its weight and ramp stand for."""
    settings = dict(adaptation[name])
    start, end, maximum = (settings.pop(key) for key in ("start", "end", "weight"))
    return settings, _ramp(f"adaptation.{name}", start=start, end=end, maximum=maximum)


def _ramp(name: str, *, start: float, end: float, maximum: float) -> Schedule:
    if not start < end:
        raise PedsegError(f"{name} rises from progress {start} to {end}; give a start below the end")
    return partial(linear_ramp, start=start, end=end, maximum=maximum)


# Changes of the images come first, then the terms of the loss.
BUILDERS: Mapping[str, Callable[[Settings, SegmentationNetwork], Method]] = {
    "fourier": _fourier,
    "histogram": _histogram,
    "strong": _strong,
    "norm": _norm,
    "dann": _adversary,
    "mean_teacher": _mean_teacher,
    "entropy": _entropy,
    "prior": _prior,
}
