"""What every setting has: a kind of value, a sentence, a unit, and a mark of what it is for."""

from collections.abc import Iterable
from enum import Enum
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError


class Mark(Enum):
    """What a setting is for: the one place that says whether it names a run, and whether a run may go on without it.

    Attributes:
        words: the same for the reference page.
        named: an override of it is a part of the run's name.
        compared: a run goes on with the same value alone.
    """

    RESULT = ("the result", True, True)
    FOLD = ("the result; told by the folder fold_…, not by the run's name", False, True)
    INDIRECT = ("the result, by what it leads to", True, False)
    VARIANT = ("the result of that variant; a run has any number of them", False, False)
    NAMED = ("place, speed or view, and a part of the run's name", True, False)
    PLACE = ("place, speed or view", False, False)

    def __init__(self, words: str, named: bool, compared: bool) -> None:
        self.words = words
        self.named = named
        self.compared = compared


RESULT, FOLD, INDIRECT, VARIANT, NAMED, PLACE = Mark


class Group(BaseModel):
    """Settings that belong together: a group of conf/, or a part of one.

    Attributes:
        OTHERS: what keys of other names are, in a group that takes any.
        SHORT: the key that a value stands for which the group itself is given; empty where it takes none.
    """

    OTHERS: ClassVar[str] = ""
    SHORT: ClassVar[str] = ""

    def as_json(self) -> dict[str, Any]:
        """The same in plain values by the names that they have in conf/."""
        return self.model_dump(mode="json", by_alias=True)

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


def setting(
    sentence: str,
    mark: Mark | None = None,
    *,
    unit: str = "",
    **limits: Any,  # noqa: ANN401  (pydantic's: ge, gt, le, lt, min_length, alias …)
) -> Any:  # noqa: ANN401  (pydantic's field)
    """Describe a field of a `Group`.

    Args:
        sentence: what it is.
        mark: what it is for; None for the same as the group that it lies in.
        unit: of its value.
        limits: of its value, as `pydantic.Field` takes them.
    """
    extra: dict[str, Any] = {"mark": mark.name if mark else "", "unit": unit}
    return Field(description=sentence, json_schema_extra=extra, **limits)


def refuse(faults: Iterable[str]) -> None:
    """End the check of a group, if there are faults; each names its key itself.

    Raises:
        PydanticCustomError: there are.
    """
    lines = "\n".join(faults)
    if lines:
        raise PydanticCustomError("faults", "{lines}", {"lines": lines})
