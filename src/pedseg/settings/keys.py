"""The keys of settings: which there are, where one leads, and what it is for."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo

from pedseg.settings.fields import RESULT, Group, Mark

Settings = type[BaseModel]


@dataclass(frozen=True)
class Key:
    """A place in the settings.

    Attributes:
        name: dotted; a name that the user gives stands as ``<name>``.
        annotation: what its value may be.
        mark: what it is for.
        field: its description, that of the mapping for a value in it; None for keys of other names.
        model: the group that it lies in.
    """

    name: str
    annotation: Any
    mark: Mark
    field: FieldInfo | None = None
    model: Settings | None = None

    @property
    def group(self) -> Settings | None:
        """The group that it is, if it is one."""
        return group_of(self.annotation)

    def child(self, name: str) -> "Key | None":
        """The key below it of that name; None if there is none."""
        here = f"{self.name}.{name}".lstrip(".")
        inner, group = unwrapped(self.annotation), self.group
        if group is None:
            values = get_args(inner)[1] if get_origin(inner) is dict else Any if inner is Any else None
            return None if values is None else Key(here, values, self.mark, self.field, self.model)
        found = fields(group).get(name)
        if found is not None:
            mark = str(_extra(found).get("mark") or "")
            return Key(here, found.rebuild_annotation(), Mark[mark] if mark else self.mark, found, group)
        return None if others_of(group) is None else Key(here, others_of(group), self.mark, None, group)

    def children(self) -> Iterator["Key"]:
        """The keys below it; one ``<name>`` where the user gives the names."""
        group = self.group
        names = list(fields(group)) if group else []
        if get_origin(unwrapped(self.annotation)) is dict or (group and others_of(group) is not None):
            names.append("<name>")
        for name in names:
            key = self.child(name)
            if key is not None:
                yield key

    def leaves(self) -> Iterator["Key"]:
        """The keys below it, or itself, that hold values."""
        below = list(self.children())
        if not below:
            yield self
        for key in below:
            yield from key.leaves()


def root(model: Settings) -> Key:
    """The place of the whole."""
    return Key("", model, RESULT)


def find(model: Settings, path: Sequence[str]) -> Key | None:
    """The key at a path of names; None if there is none."""
    key: Key | None = root(model)
    for name in path:
        key = key.child(name) if key else None
    return key


def fields(model: Settings) -> dict[str, FieldInfo]:
    """Fields of a group by the name that they have in conf/."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def shorts(model: Settings) -> dict[str, str]:
    """Groups that may be given one value, and the key of theirs that it is for."""
    groups = {key.name: key.group for key in root(model).children() if key.group}
    return {n: f"{n}.{group.SHORT}" for n, group in groups.items() if issubclass(group, Group) and group.SHORT}


def unit(field: FieldInfo | None) -> str:
    """Unit of a field; empty if it has none."""
    return str(_extra(field).get("unit") or "") if field else ""


def unwrapped(annotation: Any) -> Any:  # noqa: ANN401  (a type)
    """A type without what was added to it, and without None."""
    if get_origin(annotation) is Annotated:
        return unwrapped(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return unwrapped(kinds[0]) if len(kinds) == 1 else annotation
    if inspect.isclass(annotation) and issubclass(annotation, RootModel):
        return unwrapped(annotation.model_fields["root"].annotation)
    return annotation


def group_of(annotation: Any) -> Settings | None:  # noqa: ANN401  (a type)
    """The group that a type is, or None."""
    inner = unwrapped(annotation)
    return inner if inspect.isclass(inner) and issubclass(inner, BaseModel) else None


def others_of(group: Settings) -> Any:  # noqa: ANN401  (a type)
    """Type of the keys that a group takes beside its fields; None if it takes no other."""
    if group.model_config.get("extra") != "allow":
        return None
    of_extra = inspect.get_annotations(group, eval_str=True).get("__pydantic_extra__")
    return get_args(of_extra)[1] if of_extra else Any


def _extra(field: FieldInfo) -> Mapping[str, Any]:
    extra = field.json_schema_extra
    return extra if isinstance(extra, dict) else {}
