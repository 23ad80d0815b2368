"""From the settings of the group `adaptation` to its methods."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from pedseg.adaptation import (
    DomainAdversary,
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
from pedseg.networks import DomainClassifier, UNet
from pedseg.schedules import linear_ramp

Settings = Mapping[str, Any]


def build_methods(adaptation: Settings, network: UNet) -> dict[str, Method]:
    """Build the methods that are switched on, in the order of `BUILDERS`.

    Raises:
        PedsegError: a method is unknown or its settings do not fit the network.
    """
    chosen = {name for name, on in adaptation["methods"].items() if on}
    unknown = sorted(chosen - set(BUILDERS))
    if unknown:
        raise PedsegError(f"adaptation.methods.{unknown[0]} is unknown; there are {', '.join(BUILDERS)}")
    return {name: build(adaptation, network) for name, build in BUILDERS.items() if name in chosen}


def _adversary(adaptation: Settings, network: UNet) -> Method:
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
        classifiers[stage] = DomainClassifier(in_channels=channels, input_size=size, **adaptation["classifier"])
    ramp = {"start": adaptation["alpha_start"], "end": adaptation["alpha_end"], "maximum": adaptation["alpha_max"]}
    return DomainAdversary(
        classifiers=classifiers,
        alpha_schedule=partial(linear_ramp, **ramp),
        lambda_domain=adaptation["lambda_domain"],
        reads=reads,
    )


def _stage(chosen: int, network: UNet) -> int:
    """Decoder stage counted from the deepest, 0 the bottleneck; negative numbers count from the full-size one."""
    stages = len(network.decoder_shapes)
    stage = chosen if chosen >= 0 else stages + 1 + chosen
    if not 0 <= stage <= stages or (chosen < 0 and stage == 0):
        raise PedsegError(
            f"adaptation.decoder_stage={chosen}: this network has {stages}; use 1 to {stages}, or 0 for the bottleneck"
        )
    return stage


def _mean_teacher(adaptation: Settings, network: UNet) -> Method:
    del network
    settings = dict(adaptation["mean_teacher"])
    weight = _ramp(settings)
    plausible = {Region(name): tuple(bounds) for name, bounds in settings.pop("plausible").items()}
    return MeanTeacher(weight_schedule=weight, plausible=plausible, **settings)


def _entropy(adaptation: Settings, network: UNet) -> Method:
    del network
    return EntropyMinimisation(weight_schedule=_ramp(dict(adaptation["entropy"])))


def _prior(adaptation: Settings, network: UNet) -> Method:
    del network
    settings = dict(adaptation["prior"])
    bounds = {Region(name): tuple(interval) for name, interval in settings.pop("bounds").items()}
    return SizePrior(weight_schedule=_ramp(settings), bounds=bounds, **settings)


def _strong(adaptation: Settings, network: UNet) -> Method:
    del network
    settings = dict(adaptation["strong"])
    return StrongAugmentation(sides=tuple(Domain(side) for side in settings.pop("sides")), **settings)


def _fourier(adaptation: Settings, network: UNet) -> Method:
    del network
    return FourierStyle(**adaptation["fourier"])


def _histogram(adaptation: Settings, network: UNet) -> Method:
    del network
    return HistogramStyle(**adaptation["histogram"])


def _ramp(settings: dict[str, Any]) -> Callable[[float], float]:
    """Take the weight and its ramp out of `settings`."""
    start, end, maximum = (settings.pop(name) for name in ("start", "end", "weight"))
    return partial(linear_ramp, start=start, end=end, maximum=maximum)


# Changes of the images come first, then the terms of the loss.
BUILDERS: Mapping[str, Callable[[Settings, UNet], Method]] = {
    "fourier": _fourier,
    "histogram": _histogram,
    "strong": _strong,
    "dann": _adversary,
    "mean_teacher": _mean_teacher,
    "entropy": _entropy,
    "prior": _prior,
}
