"""From the settings of the group `adaptation` to its methods."""

from collections.abc import Mapping
from typing import Any

from pedseg.adaptation import Method, methods_of
from pedseg.adaptation.chosen import GROUP, arguments_of
from pedseg.settings.signature import below, checked_arguments


def build_methods(adaptation: Mapping[str, Any]) -> dict[str, Method]:
    """Build the methods that are named, in the order in which they are applied (`Stage`).

    They have not seen a network yet (`Method.start`).

    Raises:
        PedsegError: a name stands for no method, or its settings are unknown, absent or out of their range.
    """
    return {name: _built(name, kind, adaptation[name]) for name, kind in methods_of(adaptation).items()}


def _built(name: str, kind: type[Method], settings: Mapping[str, Any]) -> Method:
    where = f"{GROUP}.{name}"
    arguments = checked_arguments(kind, arguments_of(settings), where=where)
    with below(where):
        return kind(**arguments)
