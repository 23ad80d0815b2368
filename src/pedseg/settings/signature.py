"""Arguments of a class or function, checked against its signature before it is called.

What conf/ names by ``_target_`` (a method, a network, an optimizer) owns its settings: they are the keyword arguments
of its constructor, with their types and ranges (``Annotated[float, Field(ge=0)]``), described in its docstring. What no
type can say, such as a value that does not fit another or the network, it refuses by a `SettingError`.
"""

import difflib
import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from pedseg.errors import PedsegError

NOTHING = ("none", "~")  # as written where null is meant


def refuse_bool(value: object) -> object:
    """A number is not yes or no, though Python takes it for one."""
    if isinstance(value, bool):
        raise ValueError("give a number")  # noqa: TRY004  (pydantic turns a ValueError into a message)
    return value


def understand_none(value: object) -> object:
    """``none`` as null: YAML has it for a text."""
    return None if isinstance(value, str) and value.strip().lower() in NOTHING else value


Number = Annotated[float, BeforeValidator(refuse_bool)]
Whole = Annotated[int, BeforeValidator(refuse_bool)]
Share = Annotated[Number, Field(ge=0, le=1)]
NotNegative = Annotated[Number, Field(ge=0)]
Count = Annotated[Whole, Field(ge=1)]

ARGUMENT = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)  # of a section "Args:", continued further in


class SettingError(PedsegError):
    """A value that fits its type, and not the other settings or the network.

    Args:
        key: of the setting, below its owner.
        value: what was given.
        advice: what is wrong with it and what to do.
    """

    def __init__(self, key: str, value: object, advice: str) -> None:
        super().__init__(f"{key}={value}: {advice}")
        self.key, self.value, self.advice = key, value, advice


@contextmanager
def below(where: str) -> Iterator[None]:
    """Let what goes wrong inside name its full key, `where` being that of the owner."""
    try:
        yield
    except SettingError as error:
        raise SettingError(f"{where}.{error.key}", error.value, error.advice) from error
    except PedsegError as error:
        raise PedsegError(f"{where}: {error}") from error


@cache
def signature_model(target: Callable[..., Any], without: frozenset[str] = frozenset()) -> type[BaseModel]:
    """Model of the arguments that `target` takes by name, but those that are given elsewhere."""
    function = target.__init__ if inspect.isclass(target) else target
    hints, described = get_type_hints(function, include_extras=True), descriptions(target)
    fields: dict[str, Any] = {}
    anything = False
    for name, parameter in inspect.signature(target).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            anything = True
        elif name not in without and parameter.kind is not parameter.VAR_POSITIONAL:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (hints.get(name, Any), Field(default, description=described.get(name)))
    config = ConfigDict(
        extra="allow" if anything else "forbid", arbitrary_types_allowed=True, allow_inf_nan=False, frozen=True
    )
    return create_model(target.__qualname__, __config__=config, **fields)


def descriptions(target: Callable[..., Any]) -> dict[str, str]:
    """What the docstring of a class or function says of each argument."""
    arguments = inspect.cleandoc(target.__doc__ or "").partition("\nArgs:\n")[2].partition("\n\n")[0]
    return {name: " ".join(text.split()) for name, text in ARGUMENT.findall(arguments)}


def checked_arguments(
    target: Callable[..., Any], given: Mapping[str, Any], *, where: str, without: Collection[str] = ()
) -> dict[str, Any]:
    """The arguments of `target` among `given`, as its annotations want them; defaults stay where they are.

    Args:
        target: what will be called.
        given: by name, as conf/ and the command line say.
        where: key of `given` in the settings, for messages.
        without: arguments that the caller gives itself.

    Raises:
        PedsegError: an argument is unknown, missing, of another type or out of its range; it names the key, the value
            and what would do.
    """
    model = signature_model(target, frozenset(without))
    try:
        checked = model.model_validate(dict(given))
    except ValidationError as error:
        raise PedsegError("\n".join(messages(error, where=where, model=model))) from None
    return {name: getattr(checked, name) for name in given}


def messages(error: ValidationError, *, where: str = "", model: type[BaseModel] | None = None) -> list[str]:
    """A line for each fault: its key, the value, what is wrong and what to do."""
    return [_message(fault, where=where, model=model) for fault in error.errors()]


def _message(fault: Mapping[str, Any], *, where: str, model: type[BaseModel] | None) -> str:
    place = [str(part) for part in fault["loc"] if part != "[key]"]
    key = ".".join([where, *place] if where else place)
    if fault["type"] == "extra_forbidden":
        known = _keys_at(model, place[:-1])
        near = difflib.get_close_matches(place[-1], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known)) or 'none'}"
        return f"{key} is unknown; {hint}"
    if fault["type"] == "missing":
        return f"{key} is missing; give {key}=..."
    wrong = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{key}={fault['input']!r}: {wrong[0].lower()}{wrong[1:]}"


def _keys_at(model: type[BaseModel] | None, place: list[str]) -> list[str]:
    """Names of the fields at a place of a model; none where it leads out of models."""
    for name in place:
        field = model.model_fields.get(name) if model else None
        inner = field.annotation if field else None
        model = inner if inspect.isclass(inner) and issubclass(inner, BaseModel) else None
    return list(model.model_fields) if model else []
