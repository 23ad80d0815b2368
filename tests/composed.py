"""Settings as a command line gives them, and as config.json holds them."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from pedseg.commands.hydra_run import compose as compose_settings
from pedseg.commands.hydra_run import register_resolvers
from pedseg.files import write_json
from pedseg.settings.conf import conf_dir
from pedseg.settings.run import RunSettings

Config = dict[str, Any]
IMPORTED: Config = {  # content of a config.json of a run that was trained elsewhere
    "imported": {"source": "elsewhere.pth"},
    "run_name": "theirs",
    "run_fold": 0,
    "model": {},
    "data": {"source": {"Dataset001": "fold"}, "target": []},
}


def files(group: str, *, folder: Path | None = None) -> list[str]:
    """Names of the options of a group, of the project or of another folder of configurations."""
    return sorted(path.stem for path in ((folder or conf_dir()) / group).glob("*.yaml"))


def composed(*overrides: str, name: str = "train") -> DictConfig:
    """What Hydra makes of these overrides, before it is resolved and checked."""
    register_resolvers()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose(name, list(overrides))


def plain(*overrides: str, **changed: Any) -> Config:
    """Content of a config.json.

    Args:
        overrides: of the command line.
        changed: keys that are other than these give; mappings are merged.
    """
    return _merged(json.loads(_plain(*overrides)), changed)


def settings(*overrides: str, **changed: Any) -> RunSettings:
    """The same as a run has it."""
    return RunSettings.of(plain(*overrides, **changed))


def write_config(run: Path, *overrides: str, **changed: Any) -> None:
    """Write the config.json of a run."""
    write_json(run / "config.json", settings(*overrides, **changed).as_json())


def experiment(name: str, *overrides: str) -> Config:
    """An experiment at the size of the tests."""
    return plain("scale=toy", f"experiment={name}", *overrides)


@cache
def experiments() -> dict[str, Config]:
    """Every experiment; not to be written to."""
    return {name: experiment(name) for name in files("experiment")}


def searched(folders: Sequence[Path]) -> list[str]:
    """Override that lets Hydra find options in other folders, too."""
    return [f"hydra.searchpath=[{','.join(f'file://{folder}' for folder in folders)}]"] if folders else []


@cache
def _plain(*overrides: str) -> str:
    return json.dumps(compose_settings(RunSettings, overrides, config_name="train").as_json())


def _merged(config: Config, changed: Mapping[str, Any]) -> Config:
    merged = dict(config)
    for key, value in changed.items():
        before = merged.get(key)
        merged[key] = _merged(before, value) if isinstance(before, dict) and isinstance(value, Mapping) else value
    return merged
