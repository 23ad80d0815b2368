"""Settings as older versions wrote and called them, lifted to the present shape: runs of before are read, and go on."""

import re
from collections.abc import Mapping
from typing import Any

from pedseg.settings.population import load_population
from pedseg.settings.targets import TARGET

Config = Mapping[str, Any]

# Until methods had their settings below their names: which were on was a mapping, and those of dann lay beside it.
SWITCHES = "methods"
METHOD = "method"  # before that there was one, by its name
ADVERSARY_KEYS = (
    "alpha_max", "alpha_start", "alpha_end", "lambda_domain", "decoder_stage", "reads", "classifier",
)  # fmt: skip
CLASSES = {
    "fourier": "FourierStyle",
    "histogram": "HistogramStyle",
    "strong": "StrongAugmentation",
    "norm": "DomainNorm",
    "dann": "DomainAdversary",
    "mean_teacher": "MeanTeacher",
    "entropy": "EntropyMinimisation",
    "prior": "SizePrior",
}
OVERRIDE = re.compile(r"(?P<sign>[+~]*)(?P<key>[\w./@]+)(?P<value>=.*)?", re.DOTALL)

ONLY_PAIR = {"source": "adult", "target": "ped"}  # before cohorts were declared one by one
ONLY_POPULATION = "brats_peds2023"

# Groups and keys that came later, with what they are where they are not: as it was before they came.
LATER: Mapping[str, Mapping[str, Any]] = {
    "prediction": {"precision": "32", "window_batch": 1, "adapt_steps": 0, "adapt_rate": 0.001},
    "model": {"name": "unet"},
    "calibration": {"ratios": {}, "target": None},
}
# What was written and is no setting any more: the code has it.
GONE: Mapping[str, tuple[str, ...]] = {
    "trainer": ("_target_", "use_distributed_sampler", "default_root_dir"),
    "optimizer": ("_partial_",),
    "lr_schedule": ("_partial_",),
    "model": ("patch_size", "spacing_mm"),
}


def lifted(config: Config) -> dict[str, Any]:
    """The configuration of a run in the present shape; one that has it stays as it is."""
    lifts = (
        _with_declared_cohorts,
        _with_what_came_later,
        _without_what_is_gone,
        _with_switches,
        _with_methods_by_name,
    )
    for lift in lifts:
        config = lift(config)
    return dict(config)


def _with_declared_cohorts(config: Config) -> Config:
    """Cohorts say of which population they are; there was one."""
    data = config.get("data")
    if "population" in config or not isinstance(data, Mapping):
        return config
    cohorts = {name: {**cohort, "population": ONLY_POPULATION} for name, cohort in (data.get("cohorts") or {}).items()}
    population = load_population(ONLY_POPULATION).as_json()
    return {**config, "data": {"pair": ONLY_PAIR, **data, "cohorts": cohorts}, "population": population}


def _with_what_came_later(config: Config) -> Config:
    return {**config, **{group: {**later, **(config.get(group) or {})} for group, later in LATER.items()}}


def _without_what_is_gone(config: Config) -> Config:
    kept = {
        group: {key: value for key, value in config[group].items() if key not in gone}
        for group, gone in GONE.items()
        if isinstance(config.get(group), Mapping)
    }
    return {**config, **kept}


def _with_switches(config: Config) -> Config:
    """Of a run of when there was one method, or none."""
    adaptation = config.get("adaptation") or {}
    if METHOD not in adaptation:
        return config
    kept = {key: value for key, value in adaptation.items() if key != METHOD}
    chosen = {} if adaptation[METHOD] == "none" else {adaptation[METHOD]: True}
    return {**config, "adaptation": {"reads": "features", **kept, SWITCHES: chosen}}


def _with_methods_by_name(config: Config) -> Config:
    adaptation = config.get("adaptation") or {}
    if SWITCHES not in adaptation:
        return config
    on = [name for name, chosen in adaptation[SWITCHES].items() if chosen]
    return {**config, "adaptation": {name: _method(name, adaptation) for name in on}}


def _method(name: str, adaptation: Mapping[str, Any]) -> dict[str, Any]:
    own = adaptation.get(name, {})
    if name == "dann":
        own = {key: adaptation[key] for key in ADVERSARY_KEYS if key in adaptation}
    return {TARGET: f"pedseg.adaptation.{CLASSES.get(name, name)}", **own}


def moved(key: str) -> str | None:
    """Present name of a setting that was called `key`; None if it never was one."""
    group, _, rest = key.partition(".")
    first, _, deeper = rest.partition(".")
    if group == "adaptation" and first in ADVERSARY_KEYS:
        return f"adaptation.dann.{rest}"
    if group == "adaptation" and first == SWITCHES:
        return f"adaptation.{deeper}" if deeper else "adaptation"
    return None


def advice_on(override: str) -> str | None:
    """What to give in place of an override of the command line whose key has another name now; None if it has not."""
    parts = OVERRIDE.fullmatch(override)
    new = moved(parts["key"]) if parts else None
    if not parts or not new:
        return None
    return f"{override}: {_advice(parts['key'], new, sign=parts['sign'], value=parts['value'] or '')}"


def _advice(key: str, new: str, *, sign: str, value: str) -> str:
    if not key.startswith(f"adaptation.{SWITCHES}"):
        return f"{key} is {new} now; give {sign}{new}{value}"
    name = new.removeprefix("adaptation").lstrip(".") or "NAME"
    return (
        f"methods are switched off by ~adaptation.{name} and chosen by adaptation={name}, or adaptation=[..., {name}]"
    )
