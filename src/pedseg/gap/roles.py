"""What each model of the benchmark is for, told by the configuration of its runs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pedseg.adaptation import takes_from_target
from pedseg.errors import PedsegError
from pedseg.reporting.rows import Model
from pedseg.runs import BETWEEN, trained_on_labels
from pedseg.settings.run import RunSettings

TUNED, THRESHOLDS = "fine-tuned", "thresholds"
WAYS = (TUNED, THRESHOLDS)  # to use labels of a few children


class Role(StrEnum):
    """What a model is for; also the order of the rows."""

    BOUND = "bound"
    SUPERVISED = "supervised"
    CONTROL = "control"
    METHOD = "method"


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the benchmark.

    Attributes:
        name: of the experiment, with the variant if it is not the plain one.
        role: what it is for.
        models: its scores by seed, in the order of the seeds.
        bound: ``1*``, ``2*`` or ``3*`` if it is one.
    """

    name: str
    role: Role
    models: Mapping[int, Model]
    bound: str = ""

    @property
    def title(self) -> str:
        """Name in tables and pictures."""
        return f"{self.bound} {self.name}".strip()

    @property
    def few(self) -> tuple[str, int, int] | None:
        """How it uses labels of a few children (one of `WAYS`), of how many, and which draw of them; None if not so."""
        how = next(iter(self.models.values())).how
        if how is not None and how.few:
            return THRESHOLDS, sum(how.few.values()), how.draw
        data = self.settings.data
        return (TUNED, sum(data.few.values()), data.draw) if data.few else None

    @property
    def ruled(self) -> bool:
        """Whether it is a rule on the label maps of another model, which no validator scores."""
        how = next(iter(self.models.values())).how
        return how is not None and how.rules is not None

    @property
    def settings(self) -> RunSettings:
        """Settings of its first run."""
        return settings_of(next(iter(self.models.values())))

    @property
    def adapts(self) -> bool:
        """Whether it is trained on images of the target without their labels."""
        return bool(self.settings.data.target)

    @property
    def plain(self) -> bool:
        """Whether its networks are predicted as they were trained; variants share their training with such a one."""
        return BETWEEN not in self.name


def settings_of(model: Model) -> RunSettings:
    """Settings of a model's first run, which tell what it was trained on.

    Raises:
        PedsegError: it has none, or was imported.
    """
    if isinstance(model.settings, RunSettings):
        return model.settings
    raise PedsegError(
        f"{model.runs[0].path}: has no config.json of a training, so that nobody can tell whether it was trained on "
        "labels of the target; restore it, or move the run away"
    )


def children_of(lower: Mapping[int, Model], everyone: Iterable[Mapping[int, Model]]) -> set[str]:
    """Cohorts of the target: all that any run adapts to, is scored on or has labels of, but for those of 1*."""
    models = [model for group in everyone for model in group.values()]
    named = {name for model in models for name in (*settings_of(model).data.target, model.cohort)}
    named |= {name for model in models for name in _labelled(model)}
    return named - _labelled(next(iter(lower.values())))


def _labelled(model: Model) -> set[str]:
    """Cohorts whose labels a run is trained on."""
    return set(settings_of(model).data.labelled_source)


def role_of(models: Mapping[int, Model], children: set[str]) -> Role:
    """Supervised by labels of the target, a control that takes nothing from it, or a method."""
    if any(trained_on_labels(settings_of(model), cohort) for model in models.values() for cohort in children):
        return Role.SUPERVISED
    settings = settings_of(next(iter(models.values())))
    how = next(iter(models.values())).how
    if how and how.few:
        return Role.SUPERVISED
    if how and how.rules:
        return Role.CONTROL
    if how and (how.adapt_steps or how.calibrated):
        return Role.METHOD  # it learns from each target image that it predicts, or has thresholds from such images
    adapts = settings.data.target and takes_from_target(settings.adaptation.root)
    return Role.METHOD if adapts else Role.CONTROL
