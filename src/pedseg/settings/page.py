"""The reference page of every setting, written from the settings themselves."""

import importlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pedseg.settings import conf
from pedseg.settings.fields import Group
from pedseg.settings.keys import Key, fields, root, unit
from pedseg.settings.run import PrepareSettings, RunSettings
from pedseg.settings.signature import signature_model
from pedseg.settings.values import Means

TARGET = "_target_"
HEAD = "| key | value | default | unit | decides | |\n|---|---|---|---|---|---|"
INTRODUCTION = """\
# Settings

Every key of conf/, as `python -m pedseg.settings` writes it. `key=value` on the command line sets a key,
`group=option` chooses a file of conf/. *decides* says what a key is for. One that decides the result is a part of the
run's name where it is overridden, and a run goes on with the same value alone; one that says where, how fast or what is
shown is neither. `yes`, `no`, `on` and `off` are understood where true or false is wanted, `none` where a value may be
null.
"""
Target = Callable[..., Any]


def page() -> str:
    """The page, in Markdown."""
    return "\n\n".join(
        [
            INTRODUCTION.rstrip(),
            "## Training\n\n`pedseg train`, conf/train.yaml",
            *sections(RunSettings, conf.defaults("train"), without=("machine",)),
            "## Preparation\n\n`pedseg prepare`, conf/prepare.yaml, with the groups `data` and `paths` of a training",
            *sections(PrepareSettings, conf.defaults("prepare"), without=("data", "paths")),
        ]
    )


def sections(model: type[BaseModel], defaults: Mapping[str, Any], *, without: tuple[str, ...]) -> Iterator[str]:
    """Tables of a model: of the keys that lie in no group, then of each group."""
    keys = [key for key in root(model).children() if key.name not in without]
    groups = conf.groups()
    yield "\n".join([HEAD, *(row(key, defaults) for key in keys if key.group is None and key.name not in groups)])
    for key in keys:
        if key.group is not None or key.name in groups:
            yield section(key, defaults, options=groups.get(key.name, []))


def section(group: Key, defaults: Mapping[str, Any], *, options: list[str]) -> str:
    """Heading, options and tables of a group."""
    named = f" Options of `{group.name}=`: {', '.join(options)}." if options else ""
    lines = [f"### {group.name}", "", f"{sentence(group)}{named}"]
    rows = [row(key, defaults) for key in group.leaves() if key.name != group.name]
    lines += ["", HEAD, *rows] if rows else []
    for above, target, values in _targets(group, options):
        lines += ["", f"`{target.__module__}.{target.__qualname__}`", "", HEAD, *_arguments(above, target, values)]
    return "\n".join(lines)


def row(key: Key, defaults: Mapping[str, Any]) -> str:
    """A key as a row of the table."""
    default = _default(key, defaults)
    shown = "" if default is PydanticUndefined else f"`{json.dumps(default, ensure_ascii=False)}`"
    cells = [f"`{key.name}`", words(key.annotation), shown, unit(key.field), key.mark.words, sentence(key)]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def sentence(key: Key) -> str:
    """What a key is."""
    if key.field is None:
        return key.model.OTHERS if key.model and issubclass(key.model, Group) else ""
    return key.field.description or ""


def words(annotation: Any) -> str:  # noqa: ANN401  (a type)
    """What a value of a type may be."""
    origin, kinds = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        said = next((one.words for one in kinds[1:] if isinstance(one, Means)), None) or words(kinds[0])
        limits = ", ".join(_limits(kinds[1:]))
        return f"{said.removesuffix(' or null')} {limits}{' or null' * said.endswith(' or null')}" if limits else said
    if type(None) in kinds:
        return f"{' or '.join(words(kind) for kind in kinds if kind is not type(None))} or null"
    if origin is Literal:
        return ", ".join(str(value) for value in kinds)
    if origin is tuple:
        return f"a list: {words(kinds[0])}" if Ellipsis in kinds else f"{len(kinds)} values: {words(kinds[0])}"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}.get(annotation, "")


def _limits(metadata: tuple[object, ...]) -> Iterator[str]:
    for one in metadata:
        for limit in one.metadata if isinstance(one, FieldInfo) else [one]:
            match limit:
                case Ge():
                    yield f"≥ {limit.ge}"
                case Gt():
                    yield f"> {limit.gt}"
                case Le():
                    yield f"≤ {limit.le}"
                case Lt():
                    yield f"< {limit.lt}"


def _default(key: Key, defaults: Mapping[str, Any]) -> Any:  # noqa: ANN401  (whatever YAML holds)
    value: Any = defaults
    for name in key.name.split("."):
        if not isinstance(value, Mapping) or name not in value:
            known = key.field is not None and not key.name.endswith(">")
            default = key.field.get_default() if known and key.field else PydanticUndefined
            return list(default) if isinstance(default, tuple) else default
        value = value[name]
    return value


def _targets(group: Key, options: list[str]) -> Iterator[tuple[str, Target, Mapping[str, Any]]]:
    """What the files of a group name by ``_target_``, of this package: its key, itself, and its arguments there."""
    own = group.group is not None and TARGET in fields(group.group)
    seen = set()
    for option in options:
        content = conf.values_of(f"{group.name}/{option}")
        below = {f"{group.name}.{name}": values for name, values in content.items() if isinstance(values, dict)}
        for above, values in ({group.name: content} if own else below).items():
            name = str(values.get(TARGET, ""))
            if name.startswith("pedseg.") and name not in seen:
                seen.add(name)
                module, _, attribute = name.rpartition(".")
                yield above, getattr(importlib.import_module(module), attribute), values


def _arguments(above: str, target: Target, values: Mapping[str, Any]) -> list[str]:
    """Rows of the arguments of a class or function."""
    given = [p.name for p in inspect.signature(target).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    inside = root(signature_model(target, frozenset(given)))
    defaults: Any = values
    for name in reversed(above.split(".")):
        defaults = {name: defaults}
    return [row(Key(f"{above}.{k.name}", k.annotation, k.mark, k.field, k.model), defaults) for k in inside.leaves()]
