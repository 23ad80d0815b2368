"""Sweeps: all jobs are checked before the first begins, and a table says what became of each."""

from collections.abc import Sequence
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig

from pedseg.commands.jobs import Job, Outcome, State, show
from pedseg.errors import PedsegError
from pedseg.runs import RunFolder
from pedseg.settings.run import Checked, RunSettings
from pedseg.signals import Stopped

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def sweep(hydra: Hydra, job: Job[Any], overrides: Sequence[str], *, config_name: str, table: bool) -> Sequence[Outcome]:
    """Run a job for each combination of values, and say what became of each.

    Another sweeper than Hydra's own (``hydra/sweeper=``) is left to itself, and nothing is said.

    Args:
        hydra: on conf/.
        job: what is run.
        overrides: with several values.
        config_name: file in conf/.
        table: whether to write it, also where a signal ends the sweep.

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
    try:
        sweeper.sweep(list(cfg.hydra.overrides.task))
    finally:
        if table and sweeper.outcomes:
            show(sweeper.outcomes)
    return sweeper.outcomes


class Sweep(BasicSweeper):
    """Hydra's own sweeper, whose jobs are read as settings first.

    Attributes:
        outcomes: what became of the jobs, in their order; none while they are checked.
    """

    outcomes: Sequence[Outcome] = ()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Note what a job is."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        assert isinstance(task_function, Job)  # noqa: S101  (no other is run with this sweeper)
        self.job: Job[Any] = task_function

    def sweep(self, arguments: list[str]) -> None:
        """Check all jobs, and run them.

        Raises:
            PedsegError: the settings of a job are at fault; none is begun.
        """
        jobs = self._checked(arguments)
        try:
            self.outcomes = [result.return_value for batch in super().sweep(arguments) for result in batch]
        except Stopped:
            self.outcomes = [_looked_up(job, State.STOPPED, "by a signal; the same command goes on") for job in jobs]
            raise
        except Exception as error:
            why = f"has not ended ({type(error).__name__}: {str(error).partition(chr(10))[0]}); see its log"
            self.outcomes = [_looked_up(job, State.FAILED, why) for job in jobs]

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Nothing: all jobs have been checked."""

    def _checked(self, arguments: list[str]) -> list[Checked]:
        assert self.hydra_context is not None  # noqa: S101  (set up)
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        swept = {override.get_key_element() for override in overrides if override.is_sweep_override()}
        jobs, faults = [], []
        for (job,) in self.split_arguments(overrides, max_batch_size=1):
            try:
                jobs.append(self._settings(job))
            except PedsegError as error:
                name = " ".join(given for given in job if given.partition("=")[0] in swept)
                faults += [f"{name or 'every job'}: {line}" for line in str(error).splitlines()]
        if faults:
            raise PedsegError("\n".join(faults))
        return jobs

    def _settings(self, overrides: Sequence[str]) -> Checked:
        """Compose a job, read its settings and check them."""
        assert self.hydra_context is not None  # noqa: S101
        assert self.config is not None  # noqa: S101
        composed = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        checked: Checked = self.job.settings_of_all(composed)
        if self.job.check is not None:
            self.job.check(checked)
        return checked


def _looked_up(job: Checked, otherwise: State, why: str) -> Outcome:
    """What the run folder of a job tells where the job itself has not."""
    if isinstance(job, RunSettings) and RunFolder(job.run_dir).finished.exists():
        return Outcome(job.title, State.FINISHED)
    return Outcome(job.title, otherwise, why)
