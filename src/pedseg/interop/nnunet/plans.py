"""What nnU-Net's plans.json says about a network, checked against what pedseg can run exactly."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pedseg.errors import PedsegError
from pedseg.interop.nnunet.architecture import OWN_TRAINING, own_arguments, read_architecture, topology_of
from pedseg.interop.nnunet.records import WRITTEN, Configuration, PlansFile
from pedseg.networks.topology import AXES, Topology

FULL_RESOLUTION = "3d_fullres"
RESAMPLING = "resample_data_or_seg_to_shape"
IMAGE_RESAMPLING = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
LOGITS_RESAMPLING = {**IMAGE_RESAMPLING, "order": 1}


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
    PlansFile.of(plans, where=where, fix=WRITTEN)
    settings = _resolve(plans, configuration, where=where)
    Configuration.of(settings, where=f"{where}: configuration {configuration}", fix=WRITTEN)
    try:
        _check_preprocessing(plans, settings, where=where)
        kind, given = read_architecture(settings, where=where)
        topology = topology_of(given)
        forward = [int(axis) for axis in plans.get("transpose_forward") or range(len(AXES))]
        order = tuple(forward.index(axis) for axis in range(len(AXES)))
        plan = Plan(
            dataset=str(plans.get("dataset_name", "")),
            configuration=configuration,
            patch_size=tuple(int(settings["patch_size"][axis]) for axis in order),
            spacing_mm=tuple(float(settings["spacing"][axis]) for axis in order),
            kind=kind,
            arguments=own_arguments(kind, given),
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
