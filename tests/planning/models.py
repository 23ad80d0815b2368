"""The two kinds of training whose memory is accounted for, at any width, with any kind of network."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from pedseg.adaptation import DomainAdversary
from pedseg.modules import AdaptationModule, SegmentationModule
from pedseg.networks import UNet
from pedseg.networks import build as build_network
from pedseg.schedules import inverse_decay

KINDS = ("supervised", "uda")


def build(
    kind: str, *, patch: int | Sequence[int], width: int = 32, network_name: str = UNet.name, **settings: Any
) -> SegmentationModule:
    """A network of `width` channels, on cubes where `patch` is their edge; uda: with the paper's adversary."""
    size = (patch, patch, patch) if isinstance(patch, int) else patch
    chosen = {"name": network_name, "base_features": width, "max_features": 10 * width, **settings}
    network = build_network(chosen, patch_size=size, spacing_mm=(1.0, 1.0, 1.0))
    optimizer = partial(torch.optim.SGD, lr=0.01, momentum=0.99, nesterov=True, weight_decay=3e-5)
    if kind == "supervised":
        return SegmentationModule(network=network, optimizer=optimizer, lr_schedule=inverse_decay, channels_last=True)
    return AdaptationModule(
        network=network,
        methods={"dann": DomainAdversary(alpha_max=3.0, lambda_domain=0.01)},
        optimizer=optimizer,
        lr_schedule=inverse_decay,
        channels_last=True,
    )
