"""Classes that conf/ names by ``_target_``, of this package or of any other that can be imported."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

from pedseg.errors import PedsegError
from pedseg.settings.faults import near

TARGET = "_target_"
Kind = TypeVar("Kind")


def target_class(settings: Mapping[str, Any], base: type[Kind], *, where: str) -> type[Kind]:
    """The class that `settings` name, once it is sure that it is a `base` which can be built; nothing is called.

    Args:
        settings: with the key ``_target_``.
        base: what it must be a subclass of.
        where: key of `settings`, for messages.

    Raises:
        PedsegError: no class is named, it cannot be imported, or it is another.
    """
    named = settings.get(TARGET)
    key = f"{where}.{TARGET}={named}"
    found = imported(named, key=key, wanted=f"a subclass of {_full_name(base)}")
    if not (inspect.isclass(found) and issubclass(found, base)):
        raise PedsegError(f"{key} is no subclass of {_full_name(base)}; nothing else can stand here")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        raise PedsegError(f"{key} is abstract; give a subclass of it, which defines {missing}")
    return found


def imported(named: object, *, key: str, wanted: str) -> Any:  # noqa: ANN401  (whatever has that name)
    """What a full name stands for.

    Args:
        named: ``package.module.name``.
        key: with its value, for messages.
        wanted: what it should be, for messages.

    Raises:
        PedsegError: it cannot be imported.
    """
    module, _, name = str(named or "").rpartition(".")
    if not module:
        raise PedsegError(f"{key}: give the full name of {wanted}, such as package.module.Name")
    try:
        inside = importlib.import_module(module)
    except (ImportError, ValueError) as error:
        raise PedsegError(
            f"{key} cannot be imported ({error}); install its package, or put it on PYTHONPATH"
        ) from error
    if not hasattr(inside, name):
        raise PedsegError(f"{key}: {module} holds no {name}; {near(name, vars(inside))}")
    return getattr(inside, name)


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
