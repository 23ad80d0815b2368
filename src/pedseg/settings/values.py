"""Kinds of values that settings have, as text of the command line, YAML and JSON give them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from pedseg.errors import PedsegError
from pedseg.files import safe_name

NOTHING = ("none", "null", "~")  # as written where null is meant
YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
T = TypeVar("T")


@dataclass(frozen=True)
class Means:
    """What a value may be, in words, for messages and docs: ``Annotated[int | Literal["all"], Means(…)]``.

    Attributes:
        words: completes "give …".
    """

    words: str

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check as the type does, and say it in these words."""
        return core_schema.no_info_wrap_validator_function(self._check, handler(source))

    def _check(self, value: object, check: Callable[[object], object]) -> object:
        try:
            return check(value)
        except ValidationError:
            raise ValueError(f"give {self.words}") from None


def refuse_bool(value: object) -> object:
    """A number is not yes or no, though Python takes it for one."""
    if isinstance(value, bool):
        raise ValueError("give a number")  # noqa: TRY004  (pydantic turns a ValueError into a message)
    return value


def understand_none(value: object) -> object:
    """``none`` and ``null`` as null: on the command line and in YAML the first is a text."""
    return None if isinstance(value, str) and value.strip().lower() in NOTHING else value


def understand_flag(value: object) -> object:
    """``yes``, ``no``, ``on``, ``off`` and their like, which Hydra hands on as text, as what they mean."""
    text = str(value).strip().lower() if isinstance(value, str | int) else ""
    return True if text in YES else False if text in NO else value


def refuse_blank(value: object) -> object:
    """A text has letters."""
    if isinstance(value, str) and not value.strip():
        raise ValueError("is empty; give one")
    return value


def check_name(value: str) -> str:
    """A name that is one component of a path.

    Raises:
        ValueError: it is not.
    """
    try:
        return safe_name(value)
    except PedsegError:
        raise ValueError("give a name that a folder can have: without / \\ : and no dot in front") from None


Number = Annotated[float, Field(allow_inf_nan=False), Means("a number"), BeforeValidator(refuse_bool)]
Whole = Annotated[int, Means("a whole number"), BeforeValidator(refuse_bool)]
Flag = Annotated[bool, Means("true or false"), BeforeValidator(understand_flag)]
Text = Annotated[str, Means("text"), BeforeValidator(refuse_blank)]
Folder = Annotated[Path, Means("a path"), BeforeValidator(refuse_blank)]
Name = Annotated[Text, AfterValidator(check_name)]
Share = Annotated[Number, Field(ge=0, le=1)]
NotNegative = Annotated[Number, Field(ge=0)]
Positive = Annotated[Number, Field(gt=0)]
Count = Annotated[Whole, Field(ge=1)]
Index = Annotated[Whole, Field(ge=0)]
OrNone = Annotated[T | None, BeforeValidator(understand_none)]
