"""Settings as older versions wrote and called them, lifted to the present shape: runs of before are read, and go on."""

import re
from collections.abc import Mapping
from typing import Any

from pedseg.settings.population import load_population
from pedseg.settings.targets import TARGET
from pedseg.settings.variants import PLAIN

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
# What is a variant now, and the experiments that were another one's training, predicted in another way.
VARIANTS = {"calibration": "calibrated", "prediction.adapt_steps": "tent", "prediction.adapt_rate": "tent"}
EXPERIMENTS = {
    "m1_adult_tent": ("m1_adult_fold", "tent"),
    "m1_adult_calibrated": ("m1_adult_fold", "calibrated"),
    "m1_adult_tent_calibrated": ("m1_adult_fold", "tent_calibrated"),
    "m1_adult_strong_calibrated": ("m1_adult_strong", "calibrated"),
    "uda_calibrated": ("uda", "calibrated"),
}
OVERRIDE = re.compile(r"(?P<sign>[+~]*)(?P<key>[\w./@]+)(?P<value>=.*)?", re.DOTALL)

ONLY_PAIR = {"source": "adult", "target": "ped"}  # before cohorts were declared one by one
ONLY_POPULATION = "brats_peds2023"

# Groups and keys that came later, with what they are where they are not: as it was before they came.
LATER: Mapping[str, Mapping[str, Any]] = {
    "prediction": {"precision": "32", "window_batch": 1},
    "model": {"name": "unet"},
}
# What was written and is no setting any more: the code has it.
GONE: Mapping[str, tuple[str, ...]] = {
    "trainer": ("_target_", "use_distributed_sampler", "default_root_dir"),
    "optimizer": ("_partial_",),
    "lr_schedule": ("_partial_",),
    "model": ("patch_size", "spacing_mm"),
    "prediction": ("adapt_steps", "adapt_rate"),
}


def lifted(config: Config) -> dict[str, Any]:
    """The configuration of a run in the present shape; one that has it stays as it is."""
    lifts = (
        _with_loggers,
        _with_variants,
        _with_declared_cohorts,
        _with_what_came_later,
        _without_what_is_gone,
        _with_switches,
        _with_methods_by_name,
    )
    for lift in lifts:
        config = lift(config)
    return dict(config)


def _with_loggers(config: Config) -> Config:
    """Until there could be several, one was named by its kind."""
    logger = config.get("logger")
    if not isinstance(logger, Mapping) or "kind" not in logger:
        return config
    kept = {key: value for key, value in logger.items() if key != "kind"}
    return {**config, "logger": {**kept, **({} if logger["kind"] == "csv" else {logger["kind"]: True})}}


def _with_declared_cohorts(config: Config) -> Config:
    """Cohorts say of which population they are; there was one."""
    data = config.get("data")
    if "population" in config or not isinstance(data, Mapping):
        return config
    cohorts = {name: {**cohort, "population": ONLY_POPULATION} for name, cohort in (data.get("cohorts") or {}).items()}
    population = load_population(ONLY_POPULATION).as_json()
    return {**config, "data": {"pair": ONLY_PAIR, **data, "cohorts": cohorts}, "population": population}


def only_variant(config: Config) -> tuple[str, dict[str, Any]]:
    """Name and settings of the one way in which a run predicted, before runs had variants."""
    groups = (config.get(group) for group in ("prediction", "calibration"))
    prediction, calibration = (group if isinstance(group, Mapping) else {} for group in groups)
    adapts, shares = prediction.get("adapt_steps"), calibration.get("ratios")
    settings: dict[str, Any] = {}
    if adapts:
        settings |= {key: prediction[key] for key in ("adapt_steps", "adapt_rate") if key in prediction}
    if shares:
        settings |= {"shares": shares, "target": calibration.get("target")}
    parts = [*(["tent"] if adapts else []), *(["calibrated"] if shares else [])]
    return "_".join(parts) or PLAIN, settings


def _with_variants(config: Config) -> Config:
    name, settings = only_variant(config)
    return {"variant": {name: settings}, **{group: value for group, value in config.items() if group != "calibration"}}


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
    if not parts:
        return None
    key, value = parts["key"], parts["value"] or ""
    if key == "experiment" and value[1:] in EXPERIMENTS:
        experiment, variant = EXPERIMENTS[value[1:]]
        return f"{override}: is a way to predict another; give experiment={experiment} 'variant=[plain,{variant}]'"
    predicted = next((name for old, name in VARIANTS.items() if key == old or key.startswith(f"{old}.")), None)
    if predicted:
        return (
            f"{override}: is a variant now; give 'variant=[plain,{predicted}]' and what differs as variant.{predicted}"
        )
    new = moved(key)
    if not new:
        return None
    return f"{override}: {_advice(key, new, sign=parts['sign'], value=value)}"


def _advice(key: str, new: str, *, sign: str, value: str) -> str:
    if not key.startswith(f"adaptation.{SWITCHES}"):
        return f"{key} is {new} now; give {sign}{new}{value}"
    name = new.removeprefix("adaptation").lstrip(".") or "NAME"
    return (
        f"methods are switched off by ~adaptation.{name} and chosen by adaptation={name}, or adaptation=[..., {name}]"
    )
