"""Settings of the network and of what trains it: `model`, `loss`, `init`, `optimizer`, `trainer` and their like."""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from pedseg.settings.fields import INDIRECT, NAMED, PLACE, Group, setting
from pedseg.settings.values import (
    Count,
    Flag,
    Folder,
    Index,
    Means,
    Name,
    Number,
    OrNone,
    Positive,
    Text,
    Whole,
    understand_flag,
)

NetworkPart = Literal["encoder", "decoder", "seg_layers"]
TrainerPrecision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
PRECISION_NAMES = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}  # other names that Lightning has for them
DURATION = re.compile(r"\d+:([01]\d|2[0-3]):[0-5]\d:[0-5]\d")


def _full_name(value: object) -> object:
    return value if isinstance(value, bool) else PRECISION_NAMES.get(str(value), value)


def _number_of_batches(value: object) -> object:
    flag = understand_flag(value)
    return int(flag) if isinstance(flag, bool) else value


def _check_duration(value: str) -> str:
    if not DURATION.fullmatch(value):
        raise ValueError("give days, hours, minutes and seconds as DD:HH:MM:SS, such as 00:12:00:00")
    return value


def _as_devices(value: object) -> object:
    """Lightning's other ways to name devices: -1 for all, a text of indices."""
    if value in (-1, "-1"):
        return "auto"
    return value.split(",") if isinstance(value, str) and "," in value else value


Devices = Annotated[
    Literal["auto"] | Count | Annotated[tuple[Index, ...], Field(min_length=1)],
    Means("auto, a number of 1 or more, or a list of indices such as [0,1]"),
    BeforeValidator(_as_devices),
]


class Chosen(Group):
    """What is chosen by a name, and its arguments, which it checks itself before anything is written."""

    OTHERS = "Another argument of what is chosen."
    model_config = ConfigDict(extra="allow")

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that are given."""
        return {name: value for name, value in self if name in self.model_fields_set and name not in ("target", "name")}

    @model_serializer(mode="wrap")
    def _without_what_is_not_given(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        names = {field.alias or name: name for name, field in type(self).model_fields.items()}
        return {key: value for key, value in serialize(self).items() if names.get(key, key) in self.model_fields_set}


class Model(Chosen):
    """The network."""

    name: Annotated[Text, setting("Kind of the network.")]
    norm: Annotated[Literal["instance", "batch"], setting("Kind of its norms.")]
    deep_supervision: Annotated[Flag, setting("Whether every decoder stage has a head and a loss.")]


class Loss(Group):
    """The segmentation loss."""

    bce_weight: Annotated[Number, setting("Weight of the binary cross-entropy.", ge=0)]
    dice_weight: Annotated[Number, setting("Weight of the soft Dice.", ge=0)]


class Init(Group):
    """The weights that a run starts from."""

    run: Annotated[OrNone[Folder], setting("Run whose network it starts from; null: from scratch.", INDIRECT)]
    command: Annotated[OrNone[Text], setting("What makes that run, for the message where it is absent.", INDIRECT)] = (
        None
    )
    parts: Annotated[tuple[NetworkPart, ...], setting("Parts of the network that are taken over.", min_length=1)] = (
        "encoder", "decoder", "seg_layers",
    )  # fmt: skip


class Optimizer(Chosen):
    """The optimiser."""

    target: Annotated[Text, setting("Class of torch.optim, or another optimiser.", alias="_target_")]
    lr: Annotated[Number, setting("Learning rate at the start.", gt=0)]
    momentum: Annotated[Number, setting("Momentum, of those that have one.", ge=0, lt=1)] = 0.0
    nesterov: Annotated[Flag, setting("Whether the momentum is Nesterov's.")] = False
    weight_decay: Annotated[Number, setting("Weight decay.", ge=0)] = 0.0


class LrSchedule(Chosen):
    """The course of the learning rate."""

    target: Annotated[Text, setting("Function from progress, 0 to 1, to a factor of the rate.", alias="_target_")]


class ClassifierSize(Group):
    """Size of the domain classifiers of methods, for those that ask for it: a scale gives it to whatever is chosen."""

    blocks: Annotated[OrNone[Count], setting("Most blocks.")] = None
    channels: Annotated[OrNone[Count], setting("Channels.")] = None


class Adaptation(RootModel[dict[Name, dict[str, Any]]]):
    """The adaptation methods: names to classes (``_target_``) and their arguments."""

    model_config = ConfigDict(frozen=True)


class Trainer(Group):
    """Arguments of Lightning's Trainer that a run may have."""

    accelerator: Annotated[Literal["auto", "cpu", "gpu", "cuda", "mps"], setting("What computes.", PLACE)]
    devices: Annotated[Devices, setting("How many devices, or which.", PLACE)]
    num_nodes: Annotated[Whole, setting("Machines of a distributed run.", PLACE, unit="nodes", ge=1)]
    strategy: Annotated[
        Literal["auto", "ddp", "ddp_find_unused_parameters_true"], setting("How several processes train.", PLACE)
    ]
    precision: Annotated[
        Annotated[TrainerPrecision, BeforeValidator(_full_name)],
        setting("Precision of the training; auto: what is fast here, or what the run began with."),
    ]
    sync_batchnorm: Annotated[Flag, setting("Whether batch norms count the batches of all processes; on GPUs alone.")]
    max_epochs: Annotated[Whole, setting("Length of the training; all schedules follow it.", unit="epochs", ge=1)]
    limit_train_batches: Annotated[Whole, setting("Steps of an epoch.", unit="batches", ge=1)]
    limit_val_batches: Annotated[Whole, setting("Validation batches of an epoch.", unit="batches", ge=0)]
    accumulate_grad_batches: Annotated[
        Whole, setting("Batches whose gradients make one step of the optimiser.", unit="batches", ge=1)
    ] = 1
    gradient_clip_val: Annotated[OrNone[Positive], setting("Largest gradient; null: no limit.")]
    gradient_clip_algorithm: Annotated[Literal["norm", "value"], setting("What of the gradient is limited.")]
    check_val_every_n_epoch: Annotated[Whole, setting("Epochs between validations.", unit="epochs", ge=1)] = 1
    num_sanity_val_steps: Annotated[Whole, setting("Validation batches before the training.", unit="batches", ge=0)]
    deterministic: Annotated[Flag, setting("Whether what cannot be repeated to the bit is refused.")] = False
    max_time: Annotated[
        OrNone[Annotated[Text, AfterValidator(_check_duration)]],
        setting("Time after which this call stops; the same command without it continues.", PLACE, unit="DD:HH:MM:SS"),
    ] = None
    max_steps: Annotated[
        OrNone[Count],
        setting("Steps, of the whole run, at which this call stops; the same command without it continues.", PLACE,
                unit="steps"),
    ] = None  # fmt: skip
    min_epochs: Annotated[OrNone[Count], setting("Epochs that max_time waits for.", PLACE, unit="epochs")] = None
    fast_dev_run: Annotated[
        Annotated[Index, Means("a number of batches, true for 1, or false"), BeforeValidator(_number_of_batches)],
        setting("Batches of a trial that keeps nothing; true: 1, false: no trial.", PLACE, unit="batches"),
    ] = 0
    benchmark: Annotated[OrNone[Flag], setting("Whether cuDNN tries which of its kernels is fastest.", PLACE)] = None
    inference_mode: Annotated[Flag, setting("Whether validation runs in torch's inference mode.", PLACE)] = True
    detect_anomaly: Annotated[Flag, setting("Whether torch says which operation made a NaN; slow.", PLACE)] = False
    profiler: Annotated[
        OrNone[Literal["simple", "advanced"]], setting("Report on where the time went, at the end.", PLACE)
    ] = None
    log_every_n_steps: Annotated[Whole, setting("Steps between rows of the loggers.", PLACE, unit="steps", ge=1)]
    enable_progress_bar: Annotated[Flag, setting("Whether a progress bar is shown, or PEDSEG_PROGRESS.", PLACE)]
    enable_model_summary: Annotated[Flag, setting("Whether a table of the layers is shown.", NAMED)]
