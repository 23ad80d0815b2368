"""Settings of the group `variant`: ways to predict a network that has been trained."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from pedseg.errors import PedsegError
from pedseg.settings.conf import groups, values_of
from pedseg.settings.faults import near
from pedseg.settings.fields import Group, setting
from pedseg.settings.population import Population
from pedseg.settings.values import Count, Flag, Means, Name, Number, OrNone, Positive, Whole

REFERENCE = re.compile(r"\$\{population\.([\w.]+)\}")
PLAIN = "plain"  # the network as it was trained, predicted as `prediction` says
KEEP_LARGEST = "keep_largest"  # the rules that are chosen; the others are fixed
CORE = "core"  # TC := WT, the control that stands beside predictions in every table
Rules = Literal["keep_largest", "peds2023", "peds2023_et", "peds2023_ed", "peds2023_components", "core"]
Calibrations = Literal["published", "estimated", "bbse", "map", "per_case"]
TOLD = ("published", "map")  # calibrations that are told shares
FINDING = ("estimated", "bbse", "per_case")  # those that find shares themselves
USED = (("calibrated_parts", FINDING), ("prior_cases", ("map",)), ("case_voxels", ("per_case",)))  # by which of them
Part = Literal["tc", "et"]
Between = Annotated[Number, Field(gt=0, lt=1)]
Told = Annotated[Between | tuple[Between, Between], Means("a number between 0 and 1, or two")]


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
    calibration: Annotated[
        OrNone[Calibrations],
        setting(
            "What gives parts of the tumour their thresholds, found on images of the target (docs/calibration.md); "
            "null: published where there are shares, else nothing."
        ),
    ] = None
    shares: Annotated[
        dict[Part, Told],
        setting(
            "For published and map: mean share of WT that a region (tc, et) has; for published also an interval [low, "
            "high], of which the value nearest to what the network finds is taken."
        ),
    ] = {}  # noqa: RUF012  (pydantic copies it)
    calibrated_parts: Annotated[
        tuple[Part, ...],
        setting("For estimated, bbse and per_case: regions that are calibrated, TC within WT and ET within TC."),
    ] = ("tc",)
    cut: Annotated[
        Literal["quantile", "shift"],
        setting(
            "But for published: from a share to a threshold; the logit above which the share lies, or the one at which "
            "the posterior that goes with the share is one half."
        ),
    ] = "quantile"
    prior_cases: Annotated[Positive, setting("For map: how many cases the shares that are told weigh as much as.")] = 40
    case_voxels: Annotated[
        Positive, setting("For per_case: independent voxels that a case counts for, at most; neighbours are alike.")
    ] = 20
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

    @model_validator(mode="before")
    @classmethod
    def _of_shares_alone(cls, values: Any) -> Any:  # noqa: ANN401  (whatever is given)
        """Shares without more are published ones."""
        if isinstance(values, Mapping) and values.get("shares") and values.get("calibration") is None:
            return {**values, "calibration": TOLD[0]}
        return values

    @property
    def calibrated(self) -> bool:
        """Whether thresholds are found for it."""
        return self.calibration is not None

    @property
    def needs_source(self) -> bool:
        """Whether they are found with the help of labelled source cases that the network was not trained on."""
        return self.calibration not in (None, "published")

    @property
    def parts(self) -> tuple[str, ...]:
        """Regions that are calibrated."""
        given = self.shares if self.calibration in TOLD else self.calibrated_parts
        return tuple(part for part in get_args(Part) if part in given) if self.calibrated else ()

    def told(self, part: str) -> float | tuple[float, float]:
        """Share of WT that it is told of a part."""
        return {str(name): share for name, share in self.shares.items()}[part]

    def calibration_target(self, target: Sequence[str]) -> tuple[str, ...]:
        """Cohorts that it is calibrated on, by a run that adapts to `target`; none if it is not calibrated."""
        return tuple(self.target or target) if self.calibrated else ()


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
        if variant.few and (variant.calibrated or set(variant.few) & set(target)):
            yield f"{key}.few: reads labels; leave out calibration, and cohorts that the run adapts to without labels"
        if variant.target and not variant.calibrated:
            yield f"{key}.target: no thresholds are found there; give {key}.shares.tc=0.922, or variant=[calibrated]"
        if variant.calibrated and not variant.calibration_target(target):
            yield f"{key}: is calibrated on images of an unlabelled cohort, and none is named; give {key}.target=[ped]"
        yield from (f"{key}.{fault}" for fault in calibration_faults(variant))


def calibration_faults(variant: Variant) -> Iterator[str]:
    """What does not go together in a variant's calibration; each begins with a key."""
    rule, shares = variant.calibration, variant.shares
    if rule in TOLD and not shares:
        yield f"calibration={rule}: is told shares; give shares.tc=0.922, or calibration=estimated"
    if rule not in TOLD and shares:
        yield f"shares: {rule} finds shares itself; leave them out, or give calibration={' or '.join(TOLD)}"
    yield from _interval_faults(variant)
    if rule == "map" and "et" in shares and "tc" not in shares:
        yield "shares: map calibrates ET within TC; give shares.tc too"
    for name, used in USED:
        if getattr(variant, name) != getattr(Variant(), name) and rule not in used:
            yield f"{name}: is for calibration={' or '.join(used)}; leave it out"
    if rule == "published" and variant.cut != "quantile":
        yield f"cut={variant.cut}: needs a calibrated source, which published has not; leave it out"
    if rule in FINDING and not variant.calibrated_parts:
        yield "calibrated_parts: is empty; give [tc]"


def _interval_faults(variant: Variant) -> Iterator[str]:
    for part, pair in variant.shares.items():
        if isinstance(pair, tuple) and variant.calibration != "published":
            yield f"shares.{part}: {variant.calibration} takes one share, not an interval"
        elif isinstance(pair, tuple) and pair[0] > pair[1]:
            yield f"shares.{part}={list(pair)}: give the lower end first"


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
