"""What is wrong with settings, a line for each fault: key, value, what is wrong and what to do."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from pedseg.settings.keys import Key, find, root

MOST_SHOWN = 12  # names, where none is near
SAID = {  # of faults that pydantic names by Python's types
    "tuple_type": "give a list such as [a,b]",
    "dict_type": "give keys and values such as {a: b}",
    "model_type": "give keys and values such as {a: b}",
}


def messages(error: ValidationError, *, where: str = "", model: type[BaseModel] | None = None) -> list[str]:
    """A line for each fault that pydantic has found.

    Args:
        error: what it raised.
        where: key of what was checked, in front of those inside it.
        model: what it was checked against, for near names.
    """
    lines: dict[str, str] = {}
    for fault in error.errors():
        place = _place(fault, model)
        lines.setdefault(".".join(place) or fault["msg"], _message(fault, place, where=where, model=model))
    return list(lines.values())


def unknown(key: str, known: Iterable[str]) -> str:
    """Say that a key is unknown, and which are near it, or which there are."""
    above, _, name = key.rpartition(".")
    names = list(known)
    return f"{key} is unknown; {near(name, names) if names else f'{above} is a single value'}"


def near(name: str, known: Iterable[str], *, also: Iterable[str] = ()) -> str:
    """``did you mean …?`` one of the known names or of others, or the known names that there are."""
    names = sorted(known)
    found = difflib.get_close_matches(name, [*names, *also], n=1)
    if found:
        return f"did you mean {found[0]}?"
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return f"there are {', '.join(names[:MOST_SHOWN])}{more}" if names else "there are none"


def _place(fault: Mapping[str, Any], model: type[BaseModel] | None) -> list[str]:
    """Where a fault is, without what pydantic adds to tell the kinds of a union apart."""
    place = [str(part) for part in fault["loc"] if part != "[key]"]
    if model is None or fault["type"] == "extra_forbidden":
        return place
    key: Key | None = root(model)
    for depth, part in enumerate(place):
        key = key.child(part) if key else None
        if key is None and not part.isdecimal():
            return place[:depth]
    return place


def _message(fault: Mapping[str, Any], place: list[str], *, where: str, model: type[BaseModel] | None) -> str:
    key = ".".join([where, *place] if where else place)
    said = SAID.get(fault["type"]) or fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    wrong = f"{said[0].lower()}{said[1:]}"
    if fault["type"] == "extra_forbidden":
        return unknown(key, known_below(find(model, place[:-1]) if model else None))
    if fault["type"] == "missing" and place[-1].isdecimal():
        return f"{key.rpartition('.')[0]}: value {int(place[-1]) + 1} is missing"
    if fault["type"] == "missing":
        return f"{key} is missing; give {key}=..."
    if fault["type"] == "faults":
        return str(said)
    if fault["type"].startswith(("greater_than", "less_than")):
        wrong += "; give such a number"
    return f"{key}={shown(fault['input'])}: {wrong}"


def known_below(key: Key | None) -> list[str]:
    """Names of the keys below a key; none where there is none."""
    return [below.name.rpartition(".")[2] for below in key.children()] if key else []


def shown(value: object) -> str:
    """A value as a message shows it."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004  (a line)
