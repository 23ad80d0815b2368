"""What of a run's settings is told to others: what is computed, and neither where nor by whom."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from pedseg.settings.fields import Mark
from pedseg.settings.keys import Key, root
from pedseg.settings.names import as_name
from pedseg.settings.run import RunSettings

LOCAL = ("run_dir", "init.command")  # name places, whatever else they do
ABSOLUTE = re.compile(r"(?:~|/|[A-Za-z]:[\\/]|\\\\)")


SEED = re.compile(r"seed=\d+$")


@dataclass(frozen=True)
class About:
    """What a tracker is told of a run before it begins.

    Attributes:
        name: of the run.
        group: that the seeds and folds of an experiment share.
        job: which fold.
        config: settings, in plain values.
        tags: words to find it by.
        notes: what it is, in sentences.
    """

    name: str
    group: str
    job: str
    config: Mapping[str, Any]
    tags: tuple[str, ...]
    notes: str


def about(settings: RunSettings) -> About:
    """What of a run is told to others."""
    name, job = told_name(settings), f"fold_{settings.run_fold}"
    synthetic = ["synthetic"] if settings.data.synthetic else []
    known = [settings.experiment_name or "custom", *settings.adaptation.root, *synthetic, *settings.logger.tags]
    return About(
        name=f"{name}/{job}",
        group=_group(name),
        job=job,
        config=told(settings),
        tags=tuple(dict.fromkeys(known)),
        notes=" ".join([*([settings.logger.notes] if settings.logger.notes else []), _sentence(settings)]),
    )


def _group(name: str) -> str:
    """A run's name without its seed."""
    experiment, _, overrides = name.partition("/")
    kept = ",".join(one for one in overrides.split(",") if not SEED.match(one))
    return f"{experiment}/{kept}" if kept else experiment


def _sentence(settings: RunSettings) -> str:
    data = settings.data
    without = f" and {', '.join(data.target)} without" if data.target else ""
    kind = " Data are synthetic." if data.synthetic else ""
    trained = f"Trained on {', '.join(data.labelled_source)} with labels{without}"
    return f"{trained}; evaluated on {data.evaluation} as {', '.join(settings.variant)}.{kind}"


def told(settings: RunSettings) -> dict[str, Any]:
    """Settings for a tracker on another machine, in plain values.

    Cohorts go by their names: what marks a place, a machine or who works there (`Mark.PLACE`) is left out, and of other
    paths only the last part is kept.
    """
    values: dict[str, Any] = _told(root(RunSettings), settings.as_json())
    return values | {"run_name": told_name(settings)}


def told_name(settings: RunSettings) -> str:
    """Name of the run without the folders that overrides brought into it."""
    name = settings.run_name
    for path in sorted(set(_paths(settings.as_json())), key=len, reverse=True):
        for folder in PurePath(path).parents:
            name = name.replace(f"{as_name(str(folder))}_", "") if folder.name else name
    return name


def _told(key: Key, value: Any) -> Any:  # noqa: ANN401  (plain values)
    if isinstance(value, Mapping):
        below = {name: key.child(name) or key for name in value}
        return {
            name: _told(below[name], inner)
            for name, inner in value.items()
            if below[name].mark is not Mark.PLACE and below[name].name not in LOCAL
        }
    if isinstance(value, list | tuple):
        return [_told(key, inner) for inner in value]
    return PurePath(value).name if _is_path(value) else value


def _is_path(value: object) -> bool:
    return isinstance(value, str) and ABSOLUTE.match(value) is not None


def _paths(value: Any) -> Iterator[str]:  # noqa: ANN401  (plain values)
    """Absolute paths among plain values."""
    if isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _paths(inner)
    elif _is_path(value):
        yield value
