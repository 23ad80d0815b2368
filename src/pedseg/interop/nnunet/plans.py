"""What nnU-Net's plans.json says about a network, checked against what pedseg can run exactly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pedseg.errors import PedsegError
from pedseg.networks import ResidualUNet, UNet
from pedseg.networks.topology import AXES, Topology

FULL_RESOLUTION = "3d_fullres"
KINDS = {"PlainConvUNet": UNet.name, "ResidualEncoderUNet": ResidualUNet.name}  # by nnU-Net's class
CONVOLUTIONS = 2  # per stage of the plain network
SLOPE = 0.01  # of LeakyReLU where the plan does not say
EPSILON = 1e-5  # of the norms where the plan does not say
RESAMPLING = "resample_data_or_seg_to_shape"
IMAGE_RESAMPLING = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
LOGITS_RESAMPLING = {**IMAGE_RESAMPLING, "order": 1}
PLAIN_BLOCK = "BasicBlockD"
OWN_TRAINING = "train such a network with pedseg instead"


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration of an nnU-Net plan, with its axes in the order of the files (z, y, x).

    Attributes:
        dataset: nnU-Net's name of the dataset.
        configuration: such as ``3d_fullres``.
        patch_size: voxels of a window.
        spacing_mm: voxel size that images are resampled to.
        kind: of its network, as `pedseg.networks.kinds` names it.
        topology: features, kernels and strides.
        arguments: what only networks of this kind have.
        axis_order: for z, y and x the spatial axis of nnU-Net's tensors that holds it (its ``transpose_backward``).
    """

    dataset: str
    configuration: str
    patch_size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    kind: str
    topology: Topology
    arguments: Mapping[str, Any]
    axis_order: tuple[int, ...]


def read_plan(plans: Mapping[str, Any], configuration: str, *, where: str) -> Plan:
    """Read one configuration of a plan, in today's layout or in the first one of nnU-Net v2 (``UNet_class_name``).

    Args:
        plans: content of plans.json.
        configuration: which one.
        where: name of the file, for messages.

    Raises:
        PedsegError: it is absent or incomplete, or the network or its preprocessing differ from what pedseg does: an
            architecture other than PlainConvUNet with two convolutions a stage or ResidualEncoderUNet with plain
            residual blocks, a cascade or a 2-D network, a normalisation other than the masked z-score, another
            resampling or another reader.
    """
    settings = _resolve(plans, configuration, where=where)
    try:
        _check_preprocessing(plans, settings, where=where)
        kind, given = _architecture(settings, where=where)
        topology = _topology(given)
        forward = [int(axis) for axis in plans.get("transpose_forward", range(len(AXES)))]
        order = tuple(forward.index(axis) for axis in range(len(AXES)))
        plan = Plan(
            dataset=str(plans.get("dataset_name", "")),
            configuration=configuration,
            patch_size=tuple(int(settings["patch_size"][axis]) for axis in order),
            spacing_mm=tuple(float(settings["spacing"][axis]) for axis in order),
            kind=kind,
            arguments=_own_arguments(kind, given),
            topology=Topology.explicit(
                features=topology.features,
                kernels=[[kernel[axis] for axis in order] for kernel in topology.kernels],
                strides=[[stride[axis] for axis in order] for stride in topology.strides],
            ),
            axis_order=order,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PedsegError(
            f"{where}: configuration {configuration} is incomplete or damaged ({type(error).__name__}: {error}); "
            "give the plans.json that nnU-Net wrote"
        ) from error
    if any(size % divisor for size, divisor in zip(plan.patch_size, plan.topology.divisor, strict=True)):
        raise PedsegError(
            f"{where}: patch {plan.patch_size} is no multiple of the strides {plan.topology.divisor}; give the "
            "plans.json that the network was trained with"
        )
    return plan


def _resolve(plans: Mapping[str, Any], configuration: str, *, where: str) -> dict[str, Any]:
    """Settings of a configuration over those it inherits."""
    known = plans.get("configurations") or {}
    name, chain = configuration, []
    while name is not None:
        if name not in known or name in chain:
            raise PedsegError(f"{where}: has no usable configuration {name!r} (it has {', '.join(known) or 'none'})")
        chain.append(name)
        name = known[name].get("inherits_from")
    return {key: value for name in reversed(chain) for key, value in known[name].items()}


def _check_preprocessing(plans: Mapping[str, Any], settings: Mapping[str, Any], *, where: str) -> None:
    if len(settings["patch_size"]) != len(AXES):
        raise PedsegError(f"{where}: is a plan for a 2-D network; import a 3-D one ({FULL_RESOLUTION})")
    if settings.get("previous_stage"):
        raise PedsegError(
            f"{where}: is the second network of a cascade, which reads another network's label map; import "
            f"{FULL_RESOLUTION}"
        )
    schemes, masked = settings["normalization_schemes"], settings["use_mask_for_norm"]
    if {*schemes} != {"ZScoreNormalization"} or not all(masked):
        raise PedsegError(
            f"{where}: normalises by {', '.join(schemes)} with use_mask_for_norm {list(masked)}; pedseg computes "
            f"z-scores inside the brain (ZScoreNormalization, true) for every channel; {OWN_TRAINING}"
        )
    reader = str(plans.get("image_reader_writer", "SimpleITKIO"))
    if "Reorient" in reader:
        raise PedsegError(
            f"{where}: reads images by {reader}, which turns them to RAS; pedseg gives the network the axes of the "
            f"file; {OWN_TRAINING}"
        )
    if settings.get("preprocessor_name", "DefaultPreprocessor") != "DefaultPreprocessor":
        raise PedsegError(f"{where}: preprocesses by {settings['preprocessor_name']}, unknown here; {OWN_TRAINING}")
    for what, wanted in (("data", IMAGE_RESAMPLING), ("probabilities", LOGITS_RESAMPLING)):
        function = settings.get(f"resampling_fn_{what}", RESAMPLING)
        given = settings.get(f"resampling_fn_{what}_kwargs", wanted)
        if function != RESAMPLING or {**wanted, **given} != wanted:
            raise PedsegError(
                f"{where}: resamples {what} by {function} {given}; pedseg has nnU-Net's default alone; {OWN_TRAINING}"
            )


def _architecture(settings: Mapping[str, Any], *, where: str) -> tuple[str, Mapping[str, Any]]:
    """Kind of the network, and the arguments of nnU-Net's class, which compute nothing that pedseg's does not."""
    if "architecture" in settings:
        architecture = settings["architecture"]
        name, arguments = _name(architecture["network_class_name"]), architecture["arch_kwargs"]
    else:
        name = str(settings["UNet_class_name"])
        arguments = _old_arguments(settings, name)
    if name not in KINDS:
        raise PedsegError(f"{where}: is a {name}; pedseg has {' and '.join(KINDS)} alone; {OWN_TRAINING}")
    kind = KINDS[name]
    faults = _faults_of_layers(arguments)
    faults |= _faults_of_plain(arguments) if kind == UNet.name else _faults_of_residual(arguments)
    wrong = [fault for fault, fine in faults.items() if not fine]
    if wrong:
        raise PedsegError(
            f"{where}: has {', '.join(wrong)}; pedseg's network has {CONVOLUTIONS} Conv3d a stage or plain residual "
            f"blocks, affine instance or batch norms with eps {EPSILON}, LeakyReLU {SLOPE} after the norm; "
            f"{OWN_TRAINING}"
        )
    return kind, arguments


def _topology(arguments: Mapping[str, Any]) -> Topology:
    """Features, kernels and strides in nnU-Net's order of axes."""
    stages = int(arguments["n_stages"])
    return Topology.explicit(
        features=_per_stage(arguments["features_per_stage"], stages),
        kernels=_triples(arguments["kernel_sizes"], stages),
        strides=_triples(arguments["strides"], stages),
    )


def _own_arguments(kind: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    if kind == UNet.name:
        return {}
    stages = int(arguments["n_stages"])
    return {
        "blocks": _per_stage(arguments["n_blocks_per_stage"], stages),
        "decoder_convolutions": _per_stage(arguments["n_conv_per_stage_decoder"], stages - 1)[0],
    }


def _old_arguments(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Arguments of the network from the first layout, which has no choice of layers."""
    counts = settings["n_conv_per_stage_encoder"]
    base, largest = settings["UNet_base_num_features"], settings["unet_max_num_features"]
    return {
        "n_stages": len(counts),
        "features_per_stage": [min(base * 2**stage, largest) for stage in range(len(counts))],
        "kernel_sizes": settings["conv_kernel_sizes"],
        "strides": settings["pool_op_kernel_sizes"],
        "n_blocks_per_stage" if KINDS.get(name) == ResidualUNet.name else "n_conv_per_stage": counts,
        "n_conv_per_stage_decoder": settings["n_conv_per_stage_decoder"],
        "norm_op_kwargs": {"eps": EPSILON, "affine": True},
    }


def _faults_of_layers(arguments: Mapping[str, Any]) -> dict[str, bool]:
    """What layers are made of, and whether pedseg's compute the same; the norm itself is told by the weights."""
    norm, kwargs = _name(arguments.get("norm_op", "InstanceNorm3d")), arguments.get("norm_op_kwargs") or {}
    nonlin = _name(arguments.get("nonlin", "LeakyReLU"))
    slope = (arguments.get("nonlin_kwargs") or {}).get("negative_slope", SLOPE)
    return {
        f"conv_op {arguments.get('conv_op')}": _name(arguments.get("conv_op", "Conv3d")) == "Conv3d",
        f"norm_op {norm} {kwargs}": _computes_norm(norm, kwargs),
        f"nonlin {nonlin} with slope {slope}": nonlin == "LeakyReLU" and slope == SLOPE,
        "nonlin_first": not arguments.get("nonlin_first"),
        "a first stride above 1": _triples(arguments["strides"], int(arguments["n_stages"]))[0] == [1] * len(AXES),
    }


def _faults_of_plain(arguments: Mapping[str, Any]) -> dict[str, bool]:
    counts = {name: arguments[name] for name in ("n_conv_per_stage", "n_conv_per_stage_decoder")}
    return {
        f"{name} {count}": {*([count] if isinstance(count, int) else count)} == {CONVOLUTIONS}
        for name, count in counts.items()
    }


def _faults_of_residual(arguments: Mapping[str, Any]) -> dict[str, bool]:
    stages = int(arguments["n_stages"])
    convolutions = arguments["n_conv_per_stage_decoder"]
    block, stem = _name(arguments.get("block") or PLAIN_BLOCK), arguments.get("stem_channels")
    return {
        f"n_conv_per_stage_decoder {convolutions}": len({*_per_stage(convolutions, stages - 1)}) == 1,
        f"block {block}": block == PLAIN_BLOCK,
        f"stem_channels {stem}": stem in (None, _per_stage(arguments["features_per_stage"], stages)[0]),
    }


def _computes_norm(norm: str, kwargs: Mapping[str, Any]) -> bool:
    """Whether it is one of pedseg's norms; what the arguments leave out is as in torch."""
    batch = norm == "BatchNorm3d"
    affine, tracks = kwargs.get("affine", batch), kwargs.get("track_running_stats", batch)
    return (
        norm in ("InstanceNorm3d", "BatchNorm3d")
        and affine
        and tracks == batch
        and kwargs.get("eps", EPSILON) == EPSILON
    )


def _name(path: object) -> str:
    """Last part of a dotted name."""
    return str(path).rpartition(".")[2]


def _per_stage(numbers: int | Sequence[int], stages: int) -> list[int]:
    """One number per stage from what nnU-Net takes: one for all, or one for each."""
    return [numbers] * stages if isinstance(numbers, int) else [int(number) for number in numbers]


def _triples(sizes: int | Sequence[int | Sequence[int]], stages: int) -> list[list[int]]:
    """One triple per stage from what nnU-Net takes: a number, one per stage, or a triple per stage."""
    per_stage = [sizes] * stages if isinstance(sizes, int) else sizes
    return [[int(size)] * len(AXES) if isinstance(size, int) else [int(n) for n in size] for size in per_stage]
