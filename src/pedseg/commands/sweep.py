"""Sweeps: all jobs are checked before the first begins, and a table says what became of each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig

from pedseg.commands.jobs import Job, Outcome, State
from pedseg.errors import PedsegError
from pedseg.runs import RunFolder
from pedseg.settings.run import Checked, RunSettings

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def sweep(hydra: Hydra, job: Job[Any], overrides: Sequence[str], *, config_name: str) -> list[Outcome]:
    """Run a job for each combination of values, and say what became of each.

    Another sweeper than Hydra's own (``hydra/sweeper=``) is left to itself, and nothing is said.

    Raises:
        PedsegError: the settings of a job are at fault; none is begun.
    """
    given = [*overrides, "hydra.mode=MULTIRUN"]
    cfg = hydra.compose_config(config_name, given, run_mode=RunMode.MULTIRUN, with_log_configuration=True)
    if cfg.hydra.sweeper._target_ != BASIC:
        hydra.multirun(config_name, job, given)
        return []
    sweeper = Sweep(cfg.hydra.sweeper.max_batch_size, cfg.hydra.sweeper.params)
    context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(cfg))
    sweeper.setup(hydra_context=context, task_function=job, config=cfg)
    return sweeper.sweep(list(cfg.hydra.overrides.task))


class Sweep(BasicSweeper):
    """Hydra's own sweeper, whose jobs are read as settings first, and whose result is what became of them."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Note what a job is."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        assert isinstance(task_function, Job)  # noqa: S101  (no other is run with this sweeper)
        self.job: Job[Any] = task_function

    def sweep(self, arguments: list[str]) -> list[Outcome]:
        """Check all jobs, run them, and say what became of each.

        Raises:
            PedsegError: the settings of a job are at fault; none is begun.
        """
        jobs = self._checked(arguments)
        try:
            results = [result.return_value for batch in super().sweep(arguments) for result in batch]
        except Exception as error:
            return [_looked_up(job, error) for job in jobs]
        return results

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Nothing: all jobs have been checked."""

    def _checked(self, arguments: list[str]) -> list[Checked]:
        assert self.hydra_context is not None  # noqa: S101  (set up)
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        jobs, faults = [], []
        for (job,) in self.split_arguments(overrides, max_batch_size=1):
            try:
                jobs.append(self._settings(job))
            except PedsegError as error:
                faults += [f"{' '.join(job)}:", *(f"  {line}" for line in str(error).splitlines())]
        if faults:
            raise PedsegError("\n".join(faults))
        return jobs

    def _settings(self, overrides: Sequence[str]) -> Checked:
        """Compose a job and read its settings."""
        assert self.hydra_context is not None  # noqa: S101
        assert self.config is not None  # noqa: S101
        composed = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        checked: Checked = self.job.settings_of_all(composed)
        return checked


def _looked_up(job: Checked, error: Exception) -> Outcome:
    """What the run folder of a job tells where the job itself has not."""
    if isinstance(job, RunSettings) and RunFolder(Path(job.run_dir)).finished.exists():
        return Outcome(job.title, State.FINISHED)
    return Outcome(job.title, State.FAILED, f"has not ended ({type(error).__name__}: {error}); see its log")
