"""Settings of the group `variant`: ways to predict a network that has been trained."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from pedseg.errors import PedsegError
from pedseg.settings.conf import groups, values_of
from pedseg.settings.faults import near
from pedseg.settings.fields import Group, setting
from pedseg.settings.population import Population
from pedseg.settings.values import Count, Flag, Name, Number, OrNone, Whole

REFERENCE = re.compile(r"\$\{population\.([\w.]+)\}")
PLAIN = "plain"  # the network as it was trained, predicted as `prediction` says
KEEP_LARGEST = "keep_largest"  # the rules that are chosen; the others are fixed
CORE = "core"  # TC := WT, the control that stands beside predictions in every table
Rules = Literal["keep_largest", "peds2023", "peds2023_et", "peds2023_ed", "peds2023_components", "core"]


class Variant(Group):
    """A way to predict a trained network: a prediction, or rules that clear up the label maps of one."""

    step: Annotated[
        OrNone[Annotated[Number, Field(gt=0, le=1)]],
        setting("Distance of neighbouring windows, as a part of the patch; null: as prediction.step says."),
    ] = None
    mirror: Annotated[
        OrNone[Flag],
        setting("Whether the mean over eight mirrored windows is taken; null: as prediction.mirror says."),
    ] = None
    adapt_steps: Annotated[
        Whole, setting("Steps of test-time adaptation of the norms to each case; 0: none.", unit="steps", ge=0)
    ] = 0
    adapt_rate: Annotated[Number, setting("Learning rate of these steps.", gt=0)] = 1e-3
    shares: Annotated[
        dict[Literal["tc", "et"], Annotated[Number, Field(gt=0, lt=1)]],
        setting("Mean share of WT that a region (tc, et) is given by a threshold, found on images of the target."),
    ] = {}  # noqa: RUF012  (pydantic copies it)
    target: Annotated[
        OrNone[tuple[Name, ...]],
        setting("Cohorts whose images thresholds are found on; null: those of data.target."),
    ] = None
    few: Annotated[
        dict[Name, Count],
        setting("Cohorts, and of how many of their training cases labels choose thresholds: a control, not a method."),
    ] = {}  # noqa: RUF012  (pydantic copies it)
    draw: Annotated[Whole, setting("Which choice of these cases; one choice holds every smaller one.", ge=0)] = 0
    rules: Annotated[OrNone[Rules], setting("Rules that clear up the label maps of another variant.")] = None
    of: Annotated[Name, setting("The variant whose label maps they clear up.")] = PLAIN

    @property
    def calibrated(self) -> bool:
        """Whether thresholds are found for it."""
        return bool(self.shares)

    def calibration_target(self, target: Sequence[str]) -> tuple[str, ...]:
        """Cohorts that it is calibrated on, by a run that adapts to `target`; none if it is not calibrated."""
        return tuple(self.target or target) if self.shares else ()


def in_order(variants: Mapping[str, Variant]) -> list[str]:
    """Names of variants, those first whose label maps others clear up."""
    return sorted(variants, key=lambda name: variants[name].rules is not None)


def faults_of(variants: Mapping[str, Variant], *, target: Sequence[str]) -> Iterator[str]:
    """What is wrong with variants of a run that adapts to `target`."""
    for name, variant in variants.items():
        key = f"variant.{name}"
        if variant.rules:
            others = [one for one, value in variant if one not in ("rules", "of") and value != getattr(Variant(), one)]
            if others:
                yield f"{key}.rules: clear up the label maps of another variant (of); leave {others[0]} to that one"
            if variant.of not in variants:
                yield f"{key}.of: {variant.of} is not among the variants; give variant=[{variant.of},{name}]"
            elif variants[variant.of].rules:
                yield f"{key}.of: {variant.of} is cleared up itself; give one that is predicted"
        if variant.few and (variant.shares or set(variant.few) & set(target)):
            yield f"{key}.few: reads labels; leave out shares, and cohorts that the run adapts to without labels"
        if variant.target and not variant.shares:
            yield f"{key}.target: no thresholds are found there; give {key}.shares.tc=0.922, or variant=[calibrated]"
        if variant.shares and not variant.calibration_target(target):
            yield f"{key}: is calibrated on images of an unlabelled cohort, and none is named; give {key}.target=[ped]"


def conf_variant(name: str, population: Population | None = None) -> Variant:
    """A variant of conf/.

    Args:
        name: its name.
        population: whose statistics it refers to.

    Raises:
        PedsegError: there is none of that name, or the population does not say what it refers to.
    """
    if name not in groups()["variant"]:
        raise PedsegError(f"variant {name} is unknown; {near(name, groups()['variant'])}")
    try:
        values = _resolved(values_of(f"variant/{name}")[name], population.as_json() if population else {})
    except KeyError as error:
        raise PedsegError(f"variant {name} needs {error} of a population, which none gives; give shares") from None
    return Variant.model_validate(values)


def _resolved(value: Any, population: Mapping[str, Any]) -> Any:  # noqa: ANN401  (whatever YAML holds)
    """A value of conf/ with what it refers to as ``${population.…}``."""
    if isinstance(value, Mapping):
        return {key: _resolved(one, population) for key, one in value.items()}
    referred = REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if referred is None:
        return value
    found: Any = population
    for key in referred[1].split("."):
        found = found[key]
    return found
