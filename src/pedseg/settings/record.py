"""What a file says of itself, checked before anything is made of it.

Files come from elsewhere: other versions, other people, disks that fail. Each kind has a `Record` of what it may say,
with types, ranges and lengths. Numbers are numbers there and never text, and keys that nobody reads are passed over.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, TypeAdapter, ValidationError

from pedseg.errors import PedsegError
from pedseg.files import read_json
from pedseg.settings.faults import SAID, shown
from pedseg.settings.values import check_name

MOST_VOXELS = 2**27  # of a patch: 512³, some sixty times what a GPU trains on
MOST_FAULTS = 3  # that a message names
T = TypeVar("T")

Sequenced = Strict(strict=False)  # a tuple may be a list, which is all that JSON has; what is in it stays strict
FileName = Annotated[str, AfterValidator(check_name)]  # one component of a path, and no way out of its folder
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # SHA-256
Line = Annotated[str, Field(max_length=1000)]
SequenceName = Literal["t1n", "t1c", "t2w", "t2f"]
RegionName = Literal["wt", "tc", "et"]
Edge = Annotated[int, Field(ge=1, le=4096)]  # voxels along an axis
Millimetres = Annotated[float, Field(ge=0.01, le=100)]
Axis = Annotated[int, Field(ge=0, le=2)]
Spacing = Annotated[tuple[Millimetres, Millimetres, Millimetres], Sequenced]


def _small_enough(size: tuple[int, ...]) -> tuple[int, ...]:
    if math.prod(size) > MOST_VOXELS:
        raise ValueError(f"has more than {MOST_VOXELS} voxels")
    return size


def _distinct(axes: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(axes)) != len(axes):
        raise ValueError("names an axis twice")
    return axes


PatchSize = Annotated[tuple[Edge, Edge, Edge], Sequenced, AfterValidator(_small_enough)]
MirrorAxes = Annotated[tuple[Axis, ...], Sequenced, AfterValidator(_distinct)]


class Record(BaseModel):
    """What a kind of file says; a subclass for each."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False, protected_namespaces=())

    @classmethod
    def of(cls, content: object, *, where: Path | str, fix: str) -> Self:
        """Check what a file says.

        Args:
            content: as it was read.
            where: the file, for messages.
            fix: what to do where it is at fault, which ends the message.

        Raises:
            PedsegError: something is missing, of another type or out of its range; it names file, key and value.
        """
        return checked(cls, content, where=where, fix=fix)

    @classmethod
    def read(cls, path: Path, *, fix: str) -> Self:
        """Read a file of JSON, as `of`.

        Raises:
            PedsegError: as `of`, or it cannot be read.
        """
        return cls.of(read_json(path), where=path, fix=fix)


def checked(kind: type[T] | Any, content: object, *, where: Path | str, fix: str) -> T:  # noqa: ANN401  (or a type's form)
    """What a file says, as a value of any type that pydantic knows; as `Record.of`.

    Raises:
        PedsegError: it is none.
    """
    adapter: TypeAdapter[T] = TypeAdapter(kind, config=None if _is_model(kind) else ConfigDict(strict=True))
    try:
        return adapter.validate_python(dict(content) if isinstance(content, Mapping) else content)
    except ValidationError as error:
        faults = error.errors()
        said = "; ".join(map(_fault, faults[:MOST_FAULTS]))
        more = f" and {len(faults) - MOST_FAULTS} more faults" if len(faults) > MOST_FAULTS else ""
        raise PedsegError(f"{where}: {said}{more}; {fix}") from None


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _fault(fault: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in fault["loc"] if part != "[key]")
    if fault["type"] == "missing":
        return f"does not say its {place}"
    said = SAID.get(fault["type"]) or fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    wrong = f"{said[0].lower()}{said[1:]}"
    return f"{place} {shown(fault['input'])} {wrong}" if place else f"{shown(fault['input'])} {wrong}"
