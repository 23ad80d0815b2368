"""Hydra at work: overrides are checked, what they give is composed, and a job or a sweep of jobs is run."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pedseg.commands.jobs import Job, Outcome, Settings, code_of
from pedseg.commands.overrides import as_hydra_takes, faults_of
from pedseg.errors import PedsegError
from pedseg.hardware import cores
from pedseg.settings.conf import conf_dir, default_options
from pedseg.settings.names import run_name
from pedseg.settings.pair import population_of
from pedseg.settings.population import load_population

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra
    from omegaconf import DictConfig


LAUNCHER = re.compile(r"Could not find 'hydra/launcher/(\w+)'")
TWICE = re.compile(r"Multiple values for (\S+)\. To override")  # what Hydra says of +group=option


def minutes(hours: float) -> int:
    """Whole minutes of `hours`, for schedulers."""
    return max(1, round(60 * float(hours)))


def tasks(gpus: int) -> int:
    """Processes on a node with `gpus` GPUs: one for each, and one where there is none."""
    return max(1, int(gpus))


def population(data: Any) -> "DictConfig | None":  # noqa: ANN401  (a node of the configuration)
    """Statistics of the patients of the target's cohorts, looked for in conf/ and in folders of hydra.searchpath."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    name = population_of(OmegaConf.to_container(data, resolve=True))
    if name is None:
        return None
    sources = HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else ()
    folders = tuple(Path(source.path) for source in sources if source.schema == "file")
    return OmegaConf.create(load_population(name, folders).as_json())


RESOLVERS: dict[str, Callable[..., Any]] = {
    "run_name": run_name,
    "cores": cores,
    "minutes": minutes,
    "tasks": tasks,
    "population": population,
}


def run(job: Job[Any], overrides: Sequence[str], *, config_name: str, table: bool) -> int:
    """Run a job, or several where it is swept, and return the exit code.

    Raises:
        PedsegError: overrides or the settings that they give are at fault; nothing has been run then.
    """
    with understandable_errors(), opened(config_name) as hydra:
        check(hydra, overrides, job, config_name=config_name)
        if not job.swept:
            ended: Outcome = hydra.run(config_name, job, [*overrides, "hydra.mode=RUN"]).return_value
            if ended.error:
                raise ended.error
            return ended.state.code
        from pedseg.commands.sweep import sweep

        return code_of(sweep(hydra, job, overrides, config_name=config_name, table=table))


def compose(model: "type[Settings]", overrides: Sequence[str], *, config_name: str) -> "Settings":
    """The settings that overrides give, checked as for a job.

    Raises:
        PedsegError: overrides or the settings that they give are at fault.
    """
    from hydra.types import RunMode

    job = Job(_nothing, model, swept=False)
    overrides = as_hydra_takes(overrides)
    with understandable_errors(), opened(config_name) as hydra:
        check(hydra, overrides, job, config_name=config_name)
        cfg = hydra.compose_config(config_name, overrides, run_mode=RunMode.RUN, with_log_configuration=False)
        return job.settings_of_all(cfg)


def _nothing(settings: Any) -> None:  # noqa: ANN401  (any settings)
    del settings


def register_resolvers() -> None:
    """Tell Hydra what the files of conf/ compute."""
    from omegaconf import OmegaConf

    for name, resolver in RESOLVERS.items():
        OmegaConf.register_new_resolver(f"pedseg.{name}", resolver, replace=True)


@contextmanager
def opened(config_name: str) -> "Iterator[Hydra]":
    """Hydra on conf/."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    register_resolvers()
    whole = GlobalHydra.instance()
    outer = whole.hydra
    whole.clear()
    try:
        with initialize_config_dir(str(conf_dir()), job_name=config_name, version_base="1.3"):
            assert whole.hydra is not None  # noqa: S101  (just made)
            yield whole.hydra
    finally:
        whole.hydra = outer


def check(hydra: "Hydra", overrides: Sequence[str], job: Job[Any], *, config_name: str) -> None:
    """Check overrides one by one.

    Raises:
        PedsegError: some cannot be used; a line for each.
    """
    from hydra.core.object_type import ObjectType

    chosen = default_options(config_name)
    search_path = [override for override in overrides if override.startswith("hydra.searchpath")]

    def options(group: str) -> Collection[str]:
        names: list[str] = hydra.config_loader.get_group_options(group, ObjectType.CONFIG, config_name, search_path)
        return names

    faults = faults_of(overrides, job.model, chosen, options, sweep=job.swept)
    if faults:
        raise PedsegError("\n".join(faults))


@contextmanager
def understandable_errors() -> Iterator[None]:
    """Turn what Hydra refuses into a line of its own.

    Raises:
        PedsegError: in place of Hydra's errors.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__ or error
        message = str(error) if str(cause) in str(error) else f"{error}: {cause}"
        if twice := TWICE.match(message):
            message = f"{twice[1]} has a choice already: give {twice[1]}=... without +, or several as {twice[1]}=[a,b]"
        if lacking := LAUNCHER.search(message):
            message = f"the launcher {lacking[1]} is not installed; pip install 'pedseg[cluster]'"
        raise PedsegError(" ".join(message.split())) from error
