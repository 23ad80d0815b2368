"""The network that nnU-Net's plans.json describes, checked against those that pedseg computes exactly."""

from collections.abc import Mapping, Sequence
from typing import Any

from pedseg.errors import PedsegError
from pedseg.interop.nnunet.records import WRITTEN, Architecture, Arguments, OldArchitecture
from pedseg.networks import ResidualUNet, UNet
from pedseg.networks.topology import AXES, Topology

KINDS = {"PlainConvUNet": UNet.name, "ResidualEncoderUNet": ResidualUNet.name}  # by nnU-Net's class
CONVOLUTIONS = 2  # per stage of the plain network
PLAIN_BLOCK = "BasicBlockD"
SLOPE = 0.01  # of LeakyReLU where the plan does not say
EPSILON = 1e-5  # of the norms where the plan does not say
OWN_TRAINING = "train such a network with pedseg instead"


def read_architecture(settings: Mapping[str, Any], *, where: str) -> tuple[str, Mapping[str, Any]]:
    """Kind of the network of a configuration, and the arguments of nnU-Net's class, in either layout.

    Raises:
        PedsegError: pedseg has no network that computes the same.
        KeyError, TypeError, ValueError, AttributeError: the settings are incomplete or damaged.
    """
    if "architecture" in settings:
        architecture = settings["architecture"]
        Architecture.of(architecture, where=f"{where}: architecture", fix=WRITTEN)
        name, arguments = _name(architecture["network_class_name"]), architecture["arch_kwargs"]
    else:
        OldArchitecture.of(settings, where=where, fix=WRITTEN)
        name = str(settings["UNet_class_name"])
        arguments = _old_arguments(settings, name)
    if name not in KINDS:
        raise PedsegError(f"{where}: is a {name}; pedseg has {' and '.join(KINDS)} alone; {OWN_TRAINING}")
    kind = KINDS[name]
    Arguments.of(arguments, where=f"{where}: network", fix=WRITTEN)
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


def topology_of(arguments: Mapping[str, Any]) -> Topology:
    """Features, kernels and strides in nnU-Net's order of axes."""
    stages = int(arguments["n_stages"])
    return Topology.explicit(
        features=_per_stage(arguments["features_per_stage"], stages),
        kernels=_triples(arguments["kernel_sizes"], stages),
        strides=_triples(arguments["strides"], stages),
    )


def own_arguments(kind: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What only networks of this kind have, by pedseg's names."""
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
