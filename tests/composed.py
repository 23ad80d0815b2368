"""Configurations as a command line composes them."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from pedseg.commands.hydra_entry import RESOLVERS, conf_dir

NAMED = ("experiment_name=run", "run_name=run", "run_dir=runs")  # what Hydra knows of a job alone


def files(group: str, *, folder: Path | None = None) -> list[str]:
    """Names of the options of a group, of the project or of another folder of configurations."""
    return sorted(path.stem for path in ((folder or conf_dir()) / group).glob("*.yaml"))


def composed(*overrides: str, name: str = "train") -> DictConfig:
    """What Hydra makes of these overrides."""
    for resolver, function in RESOLVERS.items():
        OmegaConf.register_new_resolver(f"pedseg.{resolver}", function, replace=True)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose(name, list(overrides))


def plain(*overrides: str) -> dict[str, Any]:
    """The same of the training command, resolved and in plain Python."""
    settings: dict[str, Any] = OmegaConf.to_container(composed(*NAMED, *overrides), resolve=True)  # type: ignore[assignment]
    return settings


def experiment(name: str, *overrides: str) -> dict[str, Any]:
    """An experiment at the size of the tests."""
    return plain("scale=toy", f"experiment={name}", *overrides)


@cache
def experiments() -> dict[str, dict[str, Any]]:
    """Every experiment; not to be written to."""
    return {name: experiment(name) for name in files("experiment")}


def searched(folders: Sequence[Path]) -> list[str]:
    """Override that lets Hydra find options in other folders, too."""
    return [f"hydra.searchpath=[{','.join(f'file://{folder}' for folder in folders)}]"] if folders else []
