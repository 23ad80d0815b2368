"""How a run is named, and what of its settings it must keep: both follow from the marks of the settings."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from pedseg.settings.keys import Key, root, shorts
from pedseg.settings.run import RunSettings

LONGEST_NAME = 150
# Groups that only set keys of others: an experiment is the name itself, a scale or a sweep chooses paths.runs, and
# declared cohorts are nothing to a run that does not name them.
CHOICES = ("experiment", "scale", "sweep", "cohort", "hydra")
SIGNS = "+~"
PARTS = re.compile(r"[./@]")


def run_name(experiment: str | None, overrides: Sequence[str]) -> str:
    """Name a run: the experiment, then whatever else was overridden, so that an ablation gets a folder of its own.

    `overrides` are Hydra's (``trainer.max_epochs=5``). The experiment alone for a plain run, else
    ``experiment/key=value,key=value`` in the order of the keys; what would be too long for a file name ends in a hash.
    """
    kept = sorted(_shortened(o.lstrip(SIGNS)) for o in overrides if _names(o.lstrip(SIGNS).split("=")[0]))
    name = experiment or "custom"
    if not kept:
        return name
    suffix = as_name(",".join(kept))
    if len(suffix) > LONGEST_NAME:
        suffix = f"{suffix[:LONGEST_NAME]}-{hashlib.sha256(suffix.encode()).hexdigest()[:8]}"
    return f"{name}/{suffix}"


def as_name(text: str) -> str:
    """`text` with an underscore for whatever may not be in a folder's name."""
    return re.sub(r"[^\w.,=+-]", "_", text)


def _shortened(override: str) -> str:
    """An override of what a group is short for, by the group's own name."""
    key, equals, value = override.partition("=")
    names = {full: short for short, full in shorts(RunSettings).items()}
    return f"{names.get(key, key)}{equals}{value}"


def _names(key: str) -> bool:
    """Whether an override of `key`, or of a group of that name, is a part of the run's name."""
    path = PARTS.split(key)
    return path[0] not in CHOICES and _deepest(RunSettings, path).mark.named


def _deepest(model: type[BaseModel], path: Sequence[str]) -> Key:
    """The last key of a path that there is."""
    key = root(model)
    for name in path:
        key = key.child(name) or key
    return key


def deciding(settings: BaseModel) -> dict[str, Any]:
    """Settings that a run can only go on with, in plain values by dotted keys."""
    return dict(_deciding(root(type(settings)), settings.model_dump(mode="json", by_alias=True)))


def _deciding(key: Key, values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        below = key.child(name) or key
        if not below.mark.compared:
            continue
        found += _deciding(below, value) if isinstance(value, Mapping) else [(below.name, value)]
    return found
