"""Which cohorts `source` and `target` stand for, and where each cohort lies: settled before settings are checked."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pedseg.settings.conf import groups
from pedseg.settings.faults import near
from pedseg.settings.values import understand_none

ROLES = ("source", "target")
NAMING = ("source", "few", "target", "opposed", "evaluation")  # keys of data that name cohorts
VARIANT_NAMING = ("few", "target")  # likewise, of a variant
Config = Mapping[str, Any]


def with_pair(data: Config) -> dict[str, Any]:
    """The group `data` with the cohorts of ``data.pair`` where it says `source` and `target`.

    What it says of a cohort by its own name comes before what it says of it as `source` or `target`.
    """
    cohorts = _cohorts(data)
    return {**data, **{key: named(data[key], cohorts) for key in NAMING if key in data}}


def with_variants_of_pair(config: Config, data: Config) -> dict[str, Any]:
    """Settings whose variants name cohorts in place of roles."""
    cohorts = _cohorts(data)
    variants = {
        name: {**one, **{key: named(one[key], cohorts) for key in VARIANT_NAMING if key in one}}
        if isinstance(one, Mapping)
        else one
        for name, one in config["variant"].items()
    }
    return {**config, "variant": variants}


def _cohorts(data: Config) -> dict[str, str]:
    """Cohorts by the role that they have."""
    pair = data.get("pair")
    return {role: pair[role] for role in ROLES if pair.get(role)} if isinstance(pair, Mapping) else {}


def named(value: Any, cohorts: Mapping[str, str]) -> Any:  # noqa: ANN401  (whatever was given)
    """A name or names of cohorts, or what is said of each, with cohorts in place of roles."""
    if isinstance(value, Mapping):
        by_role = {cohorts[name]: said for name, said in value.items() if name in cohorts}
        return by_role | {name: said for name, said in value.items() if name not in cohorts}
    if isinstance(value, str):
        return cohorts.get(value, value)
    return [named(one, cohorts) for one in value] if isinstance(value, Sequence) else value


def with_folders(data: Config, paths: Config) -> dict[str, Any]:
    """The group `data` with the folder of each cohort: paths.<name>, its own, or the environment's, in this order."""
    cohorts = data.get("cohorts")
    if not isinstance(cohorts, Mapping):
        return dict(data)
    found = {name: _with_folder(str(name), cohort, paths) for name, cohort in cohorts.items()}
    return {**data, "cohorts": found}


def variable(cohort: str) -> str:
    """Name of the environment variable that says where a cohort lies."""
    return f"PEDSEG_{re.sub('[^A-Z0-9]', '_', cohort.upper())}"


def where_to_say(cohort: str) -> str:
    """What to do about a cohort whose folder is not known."""
    return f"cohort {cohort} has no folder; give paths.{cohort}=FOLDER or export {variable(cohort)}=FOLDER"


def how_to_declare(cohort: str, declared: Iterable[str]) -> str:
    """What to do about a cohort that is declared nowhere, beside those that are."""
    names = list(declared)
    if cohort in ROLES:
        return f"data.pair.{cohort} is null; give one of {', '.join(names)}"
    chosen = f"cohort=[{','.join([*names, cohort])}]"
    if cohort in groups()["cohort"]:
        return f"choose it by {chosen}"
    return (
        f"{near(cohort, names)} Declare another by +data.cohorts.{cohort}.folder=FOLDER (and "
        f".labelled=false without labels), or {chosen} with a file like those of conf/cohort"
    )


def population_of(data: Any) -> str | None:  # noqa: ANN401  (whatever was composed)
    """Name of the population of the target's cohorts, or of the one that is scored where there is no target.

    Raises:
        ValueError: they are of several.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("cohorts"), Mapping):
        return None  # what is wrong is said where the settings are checked
    settled = with_pair(data)
    chosen = settled.get("target") or [settled.get("evaluation")]
    cohorts = [settled["cohorts"].get(name) for name in chosen if isinstance(name, str)]
    known = (understand_none(one.get("population")) for one in cohorts if isinstance(one, Mapping))
    names = {str(name) for name in known if name is not None}
    if len(names) > 1:
        raise ValueError(f"the target's cohorts are of the populations {', '.join(sorted(names))}; choose population=…")
    return next(iter(names), None)


def _with_folder(name: str, cohort: Any, paths: Config) -> Any:  # noqa: ANN401  (whatever was given)
    if not isinstance(cohort, Mapping):
        return cohort
    given = (paths.get(name), cohort.get("folder"), os.environ.get(variable(name)))
    folders = [folder for folder in map(understand_none, given) if folder is not None and folder != ""]
    return {**cohort, "folder": folders[0] if folders else None}
