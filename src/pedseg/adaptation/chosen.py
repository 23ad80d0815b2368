"""Methods that the settings of the group `adaptation` name: a mapping from names to ``_target_`` and arguments."""

from collections.abc import Mapping
from typing import Any

from pedseg.adaptation.method import Method, Stage, Takes
from pedseg.errors import PedsegError
from pedseg.settings.history import moved
from pedseg.settings.targets import TARGET, target_class

GROUP = "adaptation"


def methods_of(adaptation: Mapping[str, Any]) -> dict[str, type[Method]]:
    """Classes of the chosen methods, in the order in which they are applied; none is built.

    Raises:
        PedsegError: a name stands for no method, its class cannot be imported or does not say what `Method` asks for.
    """
    found = {name: _class_of(name, settings) for name, settings in adaptation.items()}
    stages = list(Stage)
    return dict(sorted(found.items(), key=lambda item: (stages.index(item[1].stage), item[0])))


def takes_from_target(adaptation: Mapping[str, Any]) -> bool:
    """Whether anything of the target arrives in the weights of a network that is trained with these methods.

    Batch norms aside, in which domains that share a batch always meet.

    Raises:
        PedsegError: as `methods_of`.
    """
    chosen = methods_of(adaptation)
    return any(kind.takes_with(arguments_of(adaptation[name])) is not Takes.NOTHING for name, kind in chosen.items())


def arguments_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a method without the name of its class."""
    return {key: value for key, value in settings.items() if key != TARGET}


def _class_of(name: str, settings: object) -> type[Method]:
    where = f"{GROUP}.{name}"
    if not isinstance(settings, Mapping) or TARGET not in settings:
        if new := moved(where):
            raise PedsegError(f"{where} is {new} now")
        raise PedsegError(f"{where} has no {TARGET}, so that it is no method; choose methods by {GROUP}=[..., {name}]")
    kind = target_class(settings, Method, where=where)
    for declared, values in (("stage", Stage), ("takes", Takes)):
        if not isinstance(getattr(kind, declared, None), values):
            raise PedsegError(
                f"{where}: {settings[TARGET]} does not say its {declared}; set {declared} = {values.__name__}..."
            )
    return kind
