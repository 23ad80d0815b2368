"""From the weights of nnU-Net or DA-nnUNet to pedseg's networks, channels and axes put into pedseg's order."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from pedseg.errors import PedsegError
from pedseg.interop.nnunet.plans import Plan
from pedseg.networks import DomainClassifier, ResidualUNet, SegmentationNetwork, UNet, rebuild_within
from pedseg.networks.contract import Norm
from pedseg.networks.domain_classifier import FEWEST_SHARED
from pedseg.networks.nnunet_keys import (
    CLASSIFIER,
    RELEASED_BLOCKS,
    classifier_from_released,
    classifier_keys,
    distinct_weights,
    nnunet_keys,
    weights_from_nnunet,
)
from pedseg.networks.topology import AXES

FIRST = {UNet.name: "encoder.stages.0.0.convs.0.conv.", ResidualUNet.name: "encoder.stem.convs.0.conv."}  # layer
HEADS = "decoder.seg_layers."
TRANSPOSED = "decoder.transpconvs."
HIDDEN = f"{CLASSIFIER}Dense1.0.weight"
MOST_BLOCKS = 8  # of a released classifier that are looked for; the paper has 4


@dataclass(frozen=True, slots=True)
class Networks:
    """What a checkpoint holds, with its weights.

    Attributes:
        network: segmentation network with every head the checkpoint has.
        classifier: domain classifier of a DA-nnUNet, if there is one that pedseg has the form of.
        decoder_stage: stage that the classifier reads, 1 the deepest; 0 without one.
        left_out: names of weights that neither holds.
    """

    network: SegmentationNetwork
    classifier: DomainClassifier | None
    decoder_stage: int
    left_out: tuple[str, ...]


def build_networks(
    weights: Mapping[str, Tensor], plan: Plan, *, channels: Sequence[int], regions: Sequence[int]
) -> Networks:
    """Build the networks of a checkpoint.

    The weights tell norm and biases: the released code of Fu et al. puts batch norms where its plans name none.

    Args:
        weights: ``network_weights`` of the checkpoint, aliases and all.
        plan: how its network was built.
        channels: position of each `Modality` among its input channels.
        regions: position of each `Region` among its output channels.

    Raises:
        PedsegError: the weights do not fit the plan; the message goes on from the name of the checkpoint.
    """
    first, given = FIRST[plan.kind], distinct_weights(weights)
    found = _reordered(given, plan.axis_order, channels=channels, regions=regions, first=first)
    network = rebuild_within(
        {
            "name": plan.kind,
            "patch_size": plan.patch_size,
            "spacing_mm": plan.spacing_mm,
            "norm": _norm(found, "encoder."),
            "conv_bias": f"{first}bias" in found,
            "deep_supervision": f"{HEADS}0.weight" in found,
            **plan.arguments,
            **plan.topology.as_lists(),
        },
        sum(tensor.numel() for tensor in found.values()),
    )
    network.load_state_dict(weights_from_nnunet(network, found))
    classifier, stage = _classifier(network, found, plan.axis_order)
    used = {*nnunet_keys(network).values(), *(classifier_keys(classifier).values() if classifier else ())}
    left_out = tuple(name for name in found if name not in used)
    foreign = [name for name in left_out if not name.startswith(CLASSIFIER)]
    if foreign:
        raise PedsegError(
            f"it holds {len(foreign)} weights that its plan does not explain ({foreign[0]} …); the network was changed "
            "by its trainer, and pedseg has nnU-Net's own alone"
        )
    return Networks(network.eval(), classifier.eval() if classifier else None, stage, left_out)


def _norm(weights: Mapping[str, Tensor], part: str) -> Norm:
    running = any(name.startswith(part) and name.endswith("running_mean") for name in weights)
    return "batch" if running else "instance"


def _reordered(
    weights: Mapping[str, Tensor],
    axis_order: Sequence[int],
    *,
    channels: Sequence[int],
    regions: Sequence[int],
    first: str,
) -> dict[str, Tensor]:
    """Weights for inputs in the order of `Modality`, outputs in that of `Region` and axes z, y, x."""
    for name, axis, wanted in ((f"{first}weight", 1, len(channels)), (f"{HEADS}0.weight", 0, len(regions))):
        if name in weights and weights[name].shape[axis] != wanted:
            raise PedsegError(
                f"its {name} is made for {weights[name].shape[axis]} channels, dataset.json names {wanted}; give the "
                "dataset.json that it was trained with"
            )
    spatial = [2 + axis for axis in axis_order]
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        ordered = tensor.permute(0, 1, *spatial) if tensor.ndim == 2 + len(AXES) else tensor
        if name == f"{first}weight":
            ordered = ordered[:, list(channels)]
        elif name.startswith(HEADS):
            ordered = ordered[list(regions)]
        elif name.startswith(TRANSPOSED) and name.endswith("weight"):  # nnU-Net may leave their biases out
            found.setdefault(name.replace("weight", "bias"), tensor.new_zeros(tensor.shape[1]))
        found[name] = ordered.contiguous()
    return found


def _classifier(
    network: SegmentationNetwork, weights: Mapping[str, Tensor], axis_order: Sequence[int]
) -> tuple[DomainClassifier | None, int]:
    """Classifier of the released form and its stage; its layers tell both if only one combination fits them."""
    first, hidden = weights.get(f"{CLASSIFIER}{RELEASED_BLOCKS[0]}.0.conv.weight"), weights.get(HIDDEN)
    if first is None or hidden is None:
        return None, 0
    channels = first.shape[0]
    fitting = [
        (stage, blocks, pooled)
        for stage, (inputs, size) in enumerate(network.decoder_shapes, start=1)
        for blocks in range(FEWEST_SHARED, MOST_BLOCKS + 1)
        if inputs == first.shape[1]
        for pooled in [[n // 2 ** (blocks - 1) for n in size]]
        if channels * math.prod(pooled) == hidden.shape[1]
    ]
    if len(fitting) != 1:
        return None, 0
    stage, blocks, pooled = fitting[0]
    classifier = DomainClassifier(
        in_channels=first.shape[1],
        input_size=network.decoder_shapes[stage - 1][1],
        channels=channels,
        blocks=blocks,
        shared_blocks=True,
        norm=_norm(weights, CLASSIFIER),
    )
    theirs = [pooled[axis_order.index(axis)] for axis in range(len(AXES))]
    ordered = hidden.reshape(-1, channels, *theirs).permute(0, 1, *(2 + axis for axis in axis_order)).flatten(1)
    try:
        classifier.load_state_dict(classifier_from_released(classifier, {**weights, HIDDEN: ordered}))
    except PedsegError:
        return None, 0
    return classifier, stage
