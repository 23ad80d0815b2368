"""Overrides of the command line, each checked by itself against the settings, before anything is composed."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from pedseg.settings.faults import known_below, messages, near, unknown
from pedseg.settings.history import advice_on
from pedseg.settings.keys import Key, find, root, shorts, unwrapped
from pedseg.settings.run import RunSettings

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

Options = Callable[[str], Collection[str]]  # group → options that it has
NAMING = re.compile(r"(paths\.[^.=]+|data\.source(\.[^.=]+)?)=")  # keys that take the name of any cohort
PATH = re.compile(r"\+{0,2}(init\.run|paths\.[^.=]+|data\.store|data\.cohorts\.[^.=]+\.folder|folds\.(by|patients))=.")
KEYS = shorts(RunSettings)
SHORT = re.compile(rf"^({'|'.join(KEYS)})=(?![{{$])")
OUTSIDE = ("hydra", "machine")  # Hydra's own; and what a run writes itself


def as_hydra_takes(overrides: Sequence[str]) -> list[str]:
    """Overrides as Hydra takes them.

    Keys that take the name of any cohort are also added where no file of conf/ has them, one value for a group is for
    the key that it is short for, and a path that Hydra cannot read, such as that of a run that is named after its
    settings (``runs/uda/lambda=0.5/fold_0``), gets quotes.
    """
    named = [f"++{override}" if NAMING.match(override) else override for override in overrides]
    whole = [SHORT.sub(lambda group: f"{KEYS[group[1]]}=", override) for override in named]
    return [_quoted(override) if PATH.match(override) else override for override in whole]


def _quoted(override: str) -> str:
    """An override of a path, in quotes if it cannot be read without and has none."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, _, value = override.partition("=")
    try:
        OverridesParser.create().parse_override(override)
    except HydraException:
        if "'" not in value and "${" not in value and not value.endswith("\\"):
            return f"{key}='{value}'"
    return override


def faults_of(
    overrides: Sequence[str], model: type[BaseModel], groups: Collection[str], options: Options, *, sweep: bool
) -> list[str]:
    """A line for each override that cannot be used.

    Args:
        overrides: as on the command line.
        model: the settings that they override.
        groups: that may be chosen.
        options: of a group.
        sweep: whether an override may have several values.
    """
    return [fault for text in overrides for fault in _faults(text, model, groups, options, sweep=sweep)]


def _faults(
    text: str, model: type[BaseModel], groups: Collection[str], options: Options, *, sweep: bool
) -> Iterator[str]:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    try:
        override = parser.parse_override(text)
        swept = override.is_sweep_override()
        single = _single(override) if swept and override.is_discrete_sweep() else [text]
        values = [parser.parse_override(one).value() for one in single]
    except HydraException:
        yield f"{text} cannot be read; give key=value, with quotes around what has blanks or brackets: 'key=\"a b\"'"
        return
    if swept and not sweep:
        yield f"{text}: has several values; add -m for a job with each, or give a list: {override.key_or_group}=[…]"
        return
    key = override.key_or_group
    if advice := advice_on(text):
        yield advice
        return
    if key.partition(".")[0].partition("/")[0] == "hydra":
        return
    if key in groups:
        yield from _group_faults(override, values, options(key))
        return
    found = find(model, key.split(".")) if key.partition(".")[0] not in OUTSIDE else None
    if found is None:
        yield _unknown(key, model, groups)
    elif not override.is_delete():
        for value in values:
            yield from value_faults(found, value)


def _single(override: "Override") -> list[str]:
    """An override with several values as one for each."""
    return [f"{override.key_or_group}={value}" for value in override.sweep_string_iterator()]


def _group_faults(override: "Override", values: Sequence[Any], options: Collection[str]) -> Iterator[str]:
    for value in values:
        for name in value if isinstance(value, list) else [value]:
            text = str(name)
            if name is not None and text not in options and "${" not in text:
                yield f"{override.key_or_group}={text} is unknown; {near(text, options)}"


def _unknown(key: str, model: type[BaseModel], groups: Collection[str]) -> str:
    """Say that there is no such key, and which one is meant: of the same group, or of any."""
    parent = key.rpartition(".")[0]
    beside = find(model, parent.split(".")) if parent else None
    if beside is not None:
        return unknown(key, known_below(beside))
    top = {*known_below(root(model)), *groups} - {*OUTSIDE}
    everywhere = {*top, *(leaf.name for leaf in root(model).leaves())}
    return f"{key} is unknown; {near(key, top, also=everywhere)}"


def value_faults(key: Key, value: Any) -> list[str]:  # noqa: ANN401  (whatever was given)
    """What is wrong with a value that a key would get; parts of a group may be given alone."""
    if isinstance(value, str) and "${" in value:
        return []  # known when everything is composed
    below = key.group is not None or _is_mapping(key)
    if below and isinstance(value, Mapping):
        return [fault for name, inner in value.items() for fault in _inner_faults(key, str(name), inner)]
    if key.group is not None and value is not None:
        return [f"{key.name}={value}: is a group; give {key.name}.{known_below(key)[0]}=... or another of its keys"]
    try:
        TypeAdapter(key.annotation).validate_python(value)
    except ValidationError as error:
        return messages(error, where=key.name)
    return []


def _inner_faults(key: Key, name: str, value: Any) -> list[str]:  # noqa: ANN401  (whatever was given)
    child = key.child(name)
    return [unknown(f"{key.name}.{name}", known_below(key))] if child is None else value_faults(child, value)


def _is_mapping(key: Key) -> bool:
    return get_origin(unwrapped(key.annotation)) is dict
