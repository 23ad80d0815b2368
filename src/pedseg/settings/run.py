"""The settings of a whole run and of a preparation: the schemas of conf/train.yaml and conf/prepare.yaml."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, ValidationError, model_validator

from pedseg.errors import PedsegError
from pedseg.settings.cohorts import Data, Paths
from pedseg.settings.faults import messages
from pedseg.settings.fields import FOLD, INDIRECT, NAMED, PLACE, RESULT, VARIANT, Group, refuse, setting
from pedseg.settings.folds import FoldsOrShort, Whose
from pedseg.settings.following import Callbacks, Cluster, Logger, Machine, Prediction
from pedseg.settings.pair import how_to_declare, with_folders, with_pair, with_variants_of_pair
from pedseg.settings.population import Population
from pedseg.settings.training import (
    Adaptation,
    ClassifierSize,
    Init,
    Loss,
    LrSchedule,
    Model,
    NetworkPart,
    Optimizer,
    Trainer,
)
from pedseg.settings.values import Count, Flag, Folder, Index, Means, Name, OrNone, Text, Whole
from pedseg.settings.variants import Variant, faults_of

Fold = Annotated[Index | Literal["all"], Means("the number of a fold, from 0, or all")]


class Checked(Group):
    """Settings that are read as a whole."""

    @classmethod
    def of(cls, config: Mapping[str, Any], *, where: str = "") -> Self:
        """Read settings from plain values.

        Args:
            config: as composed from conf/, or as a config.json has it.
            where: what to name in front of the faults, such as a file.

        Raises:
            PedsegError: something is wrong; a line for each fault.
        """
        try:
            return cls.model_validate(dict(config))
        except ValidationError as error:
            lines = messages(error, model=cls)
            raise PedsegError("\n".join([f"{where}:", *(f"  {line}" for line in lines)] if where else lines)) from None

    @property
    def title(self) -> str:
        """What they are of."""
        return "the preparation"


class WithCohorts(Checked):
    """Settings that name cohorts."""

    data: Annotated[Data, setting("Cohorts, and what a run reads of them.", RESULT)]
    paths: Annotated[Paths, setting("Where cohorts lie and runs go.", PLACE)]

    @model_validator(mode="before")
    @classmethod
    def _settle_cohorts(cls, config: Any) -> Any:  # noqa: ANN401  (whatever was given)
        data, paths = config.get("data"), config.get("paths")
        if not isinstance(data, Mapping) or not isinstance(paths, Mapping):
            return config
        settled = {**config, "data": with_folders(with_pair(data), paths)}
        return with_variants_of_pair(settled, data) if isinstance(config.get("variant"), Mapping) else settled

    @model_validator(mode="after")
    def _knows_its_folders(self) -> Self:
        given = (name for name, folder in (self.paths.model_extra or {}).items() if folder is not None)
        refuse(_unknown("paths", given, self.data))
        return self


class PrepareSettings(WithCohorts):
    """Settings of a preparation (conf/prepare.yaml); what a scale says for trainings beside them is left out."""

    model_config = ConfigDict(extra="ignore")

    check: Annotated[Flag, setting("Only report problems.", PLACE)]
    folds: Annotated[Whose, setting("Whose the cases are, as cohorts are compared by it.", RESULT)] = Whose()
    skip_bad: Annotated[Flag, setting("Leave out the cases with problems instead of stopping.")]
    overwrite: Annotated[Flag, setting("Prepare again into a store that was made with other settings.", PLACE)]
    workers: Annotated[
        Annotated[Literal["auto"] | Count, Means("auto, or a whole number of 1 or more")],
        setting("Processes that prepare.", PLACE, unit="processes"),
    ]


class RunSettings(WithCohorts):
    """Settings of a run (conf/train.yaml)."""

    fold: Annotated[Fold, setting("Fold that is held out, from 0; all: none is.", FOLD)]
    folds: Annotated[FoldsOrShort, setting("How cohorts are divided, and whose cases are whose.", RESULT)]
    seed: Annotated[Whole, setting("Of every random number.", RESULT, ge=0)]
    trained_parts: Annotated[tuple[NetworkPart, ...], setting("Parts of the network that train.", RESULT, min_length=1)]
    channels_last: Annotated[Flag, setting("Whether images lie in memory channels last, which is faster.", RESULT)]
    domain_classifier: Annotated[
        ClassifierSize, setting("Size that a scale gives to domain classifiers.", INDIRECT)
    ] = ClassifierSize()
    loss: Annotated[Loss, setting("The segmentation loss.", RESULT)]
    prediction: Annotated[Prediction, setting("How whole cases are predicted.", RESULT)]
    overwrite: Annotated[Flag, setting("Throw away what the run folder holds and begin again.", PLACE)]
    cluster: Annotated[OrNone[Cluster], setting("What the jobs of a sweep ask for, with cluster=.", PLACE)] = None
    experiment_name: Annotated[OrNone[Text], setting("The experiment that was chosen.", NAMED)] = None
    run_fold: Annotated[Fold, setting("Fold in the name of the run's folder.", RESULT)]
    run_name: Annotated[Text, setting("The experiment, and what was overridden beside it.", NAMED)]
    run_dir: Annotated[Folder, setting("The run's folder.", NAMED)]
    population: Annotated[
        OrNone[Population], setting("Statistics that settings refer to; null: those of the target's cohorts.", INDIRECT)
    ] = None
    model: Annotated[Model, setting("The network.", RESULT)]
    optimizer: Annotated[Optimizer, setting("The optimiser.", RESULT)]
    lr_schedule: Annotated[LrSchedule, setting("The course of the learning rate.", RESULT)]
    init: Annotated[Init, setting("The weights that the run starts from.", RESULT)]
    adaptation: Annotated[Adaptation, setting("The adaptation methods.", RESULT)]
    variant: Annotated[
        dict[Name, Variant], setting("Ways to predict the trained network, by name.", VARIANT, min_length=1)
    ]
    trainer: Annotated[Trainer, setting("How it is trained.", RESULT)]
    logger: Annotated[Logger, setting("Where curves go beside metrics.csv.", PLACE)]
    callbacks: Annotated[Callbacks, setting("What happens beside the training.", PLACE)]
    machine: Annotated[OrNone[Machine], setting("What was decided for this machine; written by the run.", PLACE)] = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        variants = faults_of(self.variant, target=self.data.target)
        cohorts = [*_unknown_cohorts(self), *_misused_cohorts(self), *_misused_labels(self)]
        refuse([*cohorts, *variants, *_cluster_faults(self)])
        return self

    @property
    def title(self) -> str:
        """Name of the run and its fold."""
        return f"{self.run_name}/fold_{self.run_fold}"

    @property
    def few_labelled(self) -> tuple[str, ...]:
        """Cohorts of whose labels any of its variants reads a few."""
        return tuple(sorted({cohort for one in self.variant.values() for cohort in one.few}))

    @property
    def calibration_target(self) -> tuple[str, ...]:
        """Cohorts that any of its variants is calibrated on."""
        target = self.data.target
        return tuple(sorted({cohort for one in self.variant.values() for cohort in one.calibration_target(target)}))


def _unknown_cohorts(settings: RunSettings) -> Iterator[str]:
    data = settings.data
    named: Mapping[str, Iterable[str]] = {
        "data.source": data.labelled_source,
        "data.target": data.target,
        "data.opposed": data.opposed,
        "data.evaluation": [data.evaluation],
        **{f"variant.{name}.target": one.target or () for name, one in settings.variant.items()},
        **{f"variant.{name}.few": one.few for name, one in settings.variant.items()},
    }
    for key, cohorts in named.items():
        yield from _unknown(key, cohorts, data)


def _unknown(key: str, cohorts: Iterable[str], data: Data) -> Iterator[str]:
    for cohort in cohorts:
        if cohort not in data.cohorts:
            yield f"{key}: {cohort} is not among data.cohorts; {how_to_declare(cohort, data.cohorts)}"


def _misused_cohorts(settings: RunSettings) -> Iterator[str]:
    """Cohorts that cannot be what they are named for."""
    data = settings.data
    for cohort in data.labelled_source:
        if cohort in data.cohorts and not data.cohorts[cohort].labelled:
            yield f"data.source.{cohort}: trains with labels, and data.cohorts.{cohort}.labelled is false; give null"
        if cohort in (*data.target, *settings.calibration_target):
            yield f"data.target: {cohort} is both source and target; its labels cannot be used and not used"
    for cohort in data.opposed:
        if cohort not in data.labelled_source:
            yield f"data.opposed: {cohort!r} is no labelled cohort of the run; give data.source.{cohort}=fold"
    if not data.labelled_source:
        yield "data.source: names no labelled cohort to train on; give data.source.source=fold"


def _misused_labels(settings: RunSettings) -> Iterator[str]:
    """Cohorts of whose labels a few cannot be read."""
    data = settings.data
    for cohort in data.few:
        if cohort not in data.labelled_source:
            yield f"data.few: {cohort!r} is no labelled cohort of the run; give data.source.{cohort}=fold"
    for name, variant in settings.variant.items():
        if data.evaluation in variant.few and data.evaluation not in data.labelled_source:
            yield (
                f"variant.{name}.few: labels of {data.evaluation} choose thresholds, and every case of it is scored; "
                "score another cohort (data.evaluation)"
            )


def _cluster_faults(settings: RunSettings) -> Iterator[str]:
    """Jobs that ask for other processes than they train with: each would train the run by itself."""
    if settings.cluster is None:
        return
    trainer = settings.trainer
    for name, wanted, asked, given in (
        ("gpus", settings.cluster.gpus, "devices", trainer.devices),
        ("nodes", settings.cluster.nodes, "num_nodes", trainer.num_nodes),
    ):
        if wanted is not None and wanted > 1 and given not in (wanted, "auto"):
            yield (
                f"cluster.{name}={wanted} starts as many processes, and trainer.{asked}={given} trains with others; "
                f"give trainer=ddp trainer.{asked}={wanted}"
            )
