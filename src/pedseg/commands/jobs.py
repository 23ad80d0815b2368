"""Jobs that Hydra starts: from what was composed to typed settings, and what became of each."""

import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pedseg.errors import PedsegError, StoppedEarlyError, is_of_the_machine, told_of_the_machine
from pedseg.exits import USAGE_ERROR
from pedseg.settings.run import Checked

if TYPE_CHECKING:
    from omegaconf import DictConfig

STOPPED_EARLY = 3
RAISED = re.compile(r"^\w*Error raised while resolving interpolation: ")
OF_POPULATION = "population."
NO_STATISTICS = (
    "refers to statistics of the target's population that are not known; give data.cohorts.<target>.population=NAME or "
    "FILE.yaml, or population=NAME, of one that has them, or a value"
)
Settings = TypeVar("Settings", bound=Checked)


class State(Enum):
    """What became of a job, and the exit code that says so."""

    FINISHED = ("finished", 0)
    STOPPED = ("stopped", STOPPED_EARLY)
    FAILED = ("failed", USAGE_ERROR)

    def __init__(self, word: str, code: int) -> None:
        self.word = word
        self.code = code


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: its name.
        state: in a word.
        text: why.
        error: what has ended the only job, to be raised again.
    """

    job: str
    state: State
    text: str = ""
    error: Exception | None = None


@dataclass(frozen=True)
class Job(Generic[Settings]):
    """The task of a command as Hydra calls it: with typed settings, and with an outcome in place of an exception.

    Attributes:
        task: the command.
        model: its settings.
        swept: whether it is one of several, so that also an error of the program is an outcome.
        check: what else is checked of each before the first of several begins.
    """

    task: Callable[[Settings], None]
    model: type[Settings]
    swept: bool
    check: Callable[[Settings], None] | None = None

    def __call__(self, cfg: "DictConfig") -> Outcome:
        """Run the task."""
        name = ""
        try:
            settings = self.settings(cfg)
            name = settings.title
            self.task(settings)
        except StoppedEarlyError as error:
            return Outcome(name, State.STOPPED, str(error))
        except Exception as error:  # one that comes out of here is announced by Hydra before pedseg speaks
            if self.swept:
                return Outcome(name, State.FAILED, self._told(name, error))
            return Outcome(name, State.FAILED, str(error), error)
        return Outcome(name, State.FINISHED)

    @staticmethod
    def _told(name: str, error: Exception) -> str:
        """Say what has ended one of several jobs, and return it."""
        if isinstance(error, PedsegError) or is_of_the_machine(error):
            text = str(error) if isinstance(error, PedsegError) else told_of_the_machine(error)
            sys.stderr.write(f"pedseg: {name}: {text}\n")
            return text
        traceback.print_exception(error)
        return f"{type(error).__name__}: {error}"

    def settings(self, cfg: "DictConfig") -> Settings:
        """Read what was composed.

        Raises:
            PedsegError: something is wrong; a line for each fault.
        """
        return self.model.of(resolved(cfg))

    def settings_of_all(self, cfg: "DictConfig") -> Settings:
        """Read what was composed while Hydra's own part, to which settings refer, is still there.

        Raises:
            PedsegError: as `settings`.
        """
        from hydra.core.hydra_config import HydraConfig
        from omegaconf import open_dict

        before = HydraConfig.instance().cfg
        HydraConfig.instance().set_config(cfg)
        try:
            with open_dict(cfg):
                del cfg["hydra"]
            return self.settings(cfg)
        finally:
            HydraConfig.instance().cfg = before


def resolved(cfg: "DictConfig") -> Mapping[str, Any]:
    """What was composed, in plain values.

    Raises:
        PedsegError: a value is missing, or refers to what is not there.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    try:
        plain: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise PedsegError(f"{error.full_key} is missing; give {error.full_key}=...") from error
    except OmegaConfBaseException as error:
        first = RAISED.sub("", str(error).splitlines()[0])
        raise PedsegError(f"{error.full_key}: {NO_STATISTICS if OF_POPULATION in first else first}") from error
    return {str(key): value for key, value in plain.items()}


def show(outcomes: Sequence[Outcome]) -> None:
    """Write what became of the jobs of a sweep."""
    counts = Counter(outcome.state for outcome in outcomes)
    width = max((len(outcome.job) for outcome in outcomes), default=0)
    for outcome in outcomes:
        first, *more = outcome.text.splitlines() or [""]
        print(f"{outcome.job:<{width}}  {outcome.state.word:<8}  {first}{' …' * bool(more)}".rstrip())
    print(f"{len(outcomes)} jobs: " + ", ".join(f"{counts[state]} {state.word}" for state in State if counts[state]))


def code_of(outcomes: Sequence[Outcome]) -> int:
    """Exit code of a sweep: that of a failed job before that of a stopped one."""
    states = {outcome.state for outcome in outcomes}
    return next((state.code for state in (State.FAILED, State.STOPPED) if state in states), 0)
