"""What the files of nnU-Net v2 may say; what pedseg makes of it is in the modules that read it."""

from typing import Annotated, Any, Literal

from pydantic import Field

from pedseg.settings.record import Axis, Edge, FileName, Line, Millimetres, Record, Sequenced
from pedseg.settings.values import Means

WRITTEN = "give the plans.json that nnU-Net wrote"
Fold = Annotated[
    Annotated[int, Field(ge=0, le=9999)] | Annotated[str, Field(pattern=r"^(\d{1,4}|all)$")],
    Means("the number of a fold, or all"),
]
Stages = Annotated[int, Field(ge=2, le=16)]
Channels = Annotated[int, Field(ge=1, le=8192)]
Repeats = Annotated[int, Field(ge=1, le=64)]
Width = Annotated[int, Field(ge=1, le=32)]
PER_STAGE = Field(min_length=1, max_length=16)
Counts = Annotated[
    Repeats | Annotated[tuple[Repeats, ...], Sequenced, PER_STAGE], Means("a number from 1 to 64, or one per stage")
]
Triple = Annotated[tuple[Width, Width, Width], Sequenced]
Widths = Annotated[
    Width | Annotated[tuple[Width | Triple, ...], Sequenced, PER_STAGE],
    Means("a number from 1 to 32, or one or three of them per stage"),
]
Names = Annotated[tuple[Line, ...], Sequenced, Field(max_length=64)]
Options = dict[str, Any] | None


class InitArguments(Record):
    """With what a trainer was made, as its checkpoint has it."""

    configuration: FileName | None = None
    fold: Fold = "all"
    plans: dict[str, Any] | None = None
    dataset_json: dict[str, Any] | None = None


class TrainedState(Record):
    """What a checkpoint says beside its weights."""

    init_args: InitArguments | None = None
    trainer_name: Line = ""
    current_epoch: Annotated[int, Field(ge=0)] = 0
    inference_allowed_mirroring_axes: Annotated[tuple[Axis, ...], Sequenced] | None = (0, 1, 2)


class Configuration(Record):
    """One configuration of plans.json, with what it inherits."""

    patch_size: Annotated[tuple[Edge, ...], Sequenced, Field(min_length=1, max_length=3)]
    spacing: Annotated[tuple[Millimetres, ...], Sequenced, Field(min_length=1, max_length=3)]
    normalization_schemes: Names
    use_mask_for_norm: Annotated[tuple[bool, ...], Sequenced, Field(max_length=64)]
    preprocessor_name: Line | None = None
    resampling_fn_data: Line | None = None
    resampling_fn_data_kwargs: Options = None
    resampling_fn_probabilities: Line | None = None
    resampling_fn_probabilities_kwargs: Options = None


class PlansFile(Record):
    """plans.json as a whole."""

    dataset_name: FileName | Literal[""] = ""
    image_reader_writer: Line = "SimpleITKIO"
    transpose_forward: (
        Annotated[tuple[Axis, Axis, Axis], Sequenced] | Annotated[tuple[Axis, Axis], Sequenced] | None
    ) = None
    configurations: Annotated[dict[str, dict[str, Any]], Field(max_length=1000)]


class Architecture(Record):
    """The class of a network and its arguments in today's layout."""

    network_class_name: Line
    arch_kwargs: dict[str, Any]


class OldArchitecture(Record):
    """The same in the first layout."""

    UNet_class_name: Line
    UNet_base_num_features: Channels
    unet_max_num_features: Channels
    n_conv_per_stage_encoder: Annotated[tuple[Repeats, ...], Sequenced, PER_STAGE]
    n_conv_per_stage_decoder: Counts
    conv_kernel_sizes: Widths
    pool_op_kernel_sizes: Widths


class Arguments(Record):
    """Arguments of nnU-Net's classes of networks."""

    n_stages: Stages
    features_per_stage: Channels | Annotated[tuple[Channels, ...], Sequenced, PER_STAGE]
    kernel_sizes: Widths
    strides: Widths
    n_conv_per_stage: Counts | None = None
    n_blocks_per_stage: Counts | None = None
    n_conv_per_stage_decoder: Counts
    conv_op: Line | None = None
    norm_op: Line | None = None
    norm_op_kwargs: Options = None
    nonlin: Line | None = None
    nonlin_kwargs: Options = None


class DatasetFile(Record):
    """dataset.json: what its input and output channels are."""

    channel_names: dict[str | int, Line] | None = None
    modality: dict[str | int, Line] | None = None
    labels: dict[str, Any] | None = None
