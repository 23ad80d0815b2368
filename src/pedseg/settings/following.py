"""Settings of what follows a training, and of where and how fast all of it happens."""

from typing import Annotated, Literal

from pydantic import BeforeValidator

from pedseg.hardware import Precision
from pedseg.settings.fields import Group, setting
from pedseg.settings.values import Count, Flag, Index, Number, OrNone, Positive, Text, Whole


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Prediction(Group):
    """How whole cases are predicted."""

    step: Annotated[Number, setting("Distance of neighbouring windows, as a part of the patch.", gt=0, le=1)]
    mirror: Annotated[Flag, setting("Whether the mean over eight mirrored windows is taken.")]
    precision: Annotated[
        Annotated[Literal["auto", "32", "bf16", "16"], BeforeValidator(_as_text)],
        setting("Precision of the forward passes; auto: what is fast where the run began."),
    ]
    window_batch: Annotated[Whole, setting("Windows in a forward pass, each mirroring counted.", unit="windows", ge=1)]


class Logger(Group):
    """Where curves go beside metrics.csv."""

    wandb: Annotated[Flag, setting("Whether Weights & Biases shows them.")] = False
    mlflow: Annotated[Flag, setting("Whether MLflow does.")] = False
    tensorboard: Annotated[Flag, setting("Whether TensorBoard does.")] = False
    project: Annotated[Text, setting("Project of Weights & Biases, experiment of MLflow.")] = "pedseg"
    entity: Annotated[OrNone[Text], setting("Team of Weights & Biases; null: your own.")] = None
    offline: Annotated[Flag, setting("Whether W&B writes to disk only, or PEDSEG_WANDB_OFFLINE.")] = False
    store: Annotated[Text, setting("Folder, database (sqlite:///FILE) or server of MLflow.")] = "mlflow"
    artifact: Annotated[Flag, setting("Whether the last checkpoint is kept there, too.")] = False
    tags: Annotated[tuple[Text, ...], setting("Words to find the run by, beside experiment and methods.")] = ()
    notes: Annotated[OrNone[Text], setting("What to say of it, before what is said anyway.")] = None

    @property
    def tracks(self) -> bool:
        """Whether anything beside metrics.csv shows them."""
        return self.wandb or self.mlflow or self.tensorboard


class Callbacks(Group):
    """What happens beside the training."""

    checkpoint_every: Annotated[
        Whole,
        setting("Epochs between writes of checkpoints/last.ckpt; the last is always.", unit="epochs", ge=1),
    ]
    images: Annotated[Flag, setting("Whether slices and ids of cases, patient data, go to the loggers.")]
    validators: Annotated[Flag, setting("Whether the run is scored without labels, as pedseg validate does.")] = False


class Cluster(Group):
    """What the jobs of a sweep ask of a machine or a scheduler."""

    parallel: Annotated[OrNone[Count], setting("Jobs that run at the same time.", unit="jobs")] = None
    hours: Annotated[OrNone[Positive], setting("Time of a job, before it is queued again.", unit="h")] = None
    requeues: Annotated[OrNone[Index], setting("Times that it may be queued again.")] = None
    warning_s: Annotated[OrNone[Count], setting("Time before its end at which it is warned.", unit="s")] = None
    gpus: Annotated[OrNone[Index], setting("GPUs on each node.")] = None
    nodes: Annotated[OrNone[Count], setting("Nodes, as many as trainer.num_nodes.")] = None
    cores: Annotated[OrNone[Count], setting("Cores for each GPU.")] = None
    memory_gb: Annotated[OrNone[Count], setting("Memory on each node.", unit="GB")] = None
    partition: Annotated[OrNone[Text], setting("Partition of the scheduler.")] = None
    account: Annotated[OrNone[Text], setting("Account of the scheduler.")] = None
    setup: Annotated[OrNone[tuple[Text, ...]], setting("Shell commands that make the environment.")] = None


class Machine(Group):
    """What was decided for the machine that a run is on; written by the run itself."""

    device: Annotated[Text, setting("Kind and size of the machine.")]
    precision: Annotated[Text, setting("Why the training has its precision.")]
    prediction: Annotated[Precision, setting("Precision of the run's own label maps.")]
    cores: Annotated[Whole, setting("Cores that the process may use.", ge=1)]
    threads: Annotated[Whole, setting("Threads that compute.", ge=1)]
    workers: Annotated[Whole, setting("Processes that read patches.", ge=0)] = 0
