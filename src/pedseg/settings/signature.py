"""Arguments of a class or function, checked against its signature before it is called.

What conf/ names by ``_target_`` (a method, a network, an optimizer) owns its settings: they are the keyword arguments
of its constructor, with their types and ranges (``Annotated[float, Field(ge=0)]``), described in its docstring. What no
type can say, such as a value that does not fit another or the network, it refuses by a `SettingError`.
"""

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from pedseg.errors import PedsegError
from pedseg.settings.faults import messages
from pedseg.settings.values import Count, NotNegative, Number, Share, Whole, understand_none

__all__ = [
    "Count", "NotNegative", "Number", "SettingError", "Share", "Whole", "below", "checked_arguments", "descriptions",
    "signature_model", "understand_none",
]  # fmt: skip

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
            fields[name] = (_numbers(hints.get(name, Any)), Field(default, description=described.get(name)))
    config = ConfigDict(
        extra="allow" if anything else "forbid", arbitrary_types_allowed=True, allow_inf_nan=False, frozen=True
    )
    return create_model(target.__qualname__, __config__=config, **fields)


def _numbers(hint: Any) -> Any:  # noqa: ANN401  (a type)
    """A type whose numbers are no bools, for arguments of those who do not say so."""
    plain: dict[Any, Any] = {float: Number, int: Whole}
    origin, kinds = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return Union[tuple(map(_numbers, kinds))]  # noqa: UP007  (of kinds that are known now alone)
    if origin is tuple:
        return tuple[tuple(map(_numbers, kinds))]  # type: ignore[misc]
    return plain.get(hint, hint)


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
