"""Training steps made by hand."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from pedseg.adaptation import Draw, Step
from pedseg.labels import Domain
from pedseg.networks import NetworkOutput, UNet
from tests.adaptation.steps import PATCH, Logged, MakeStep


@pytest.fixture
def network() -> UNet:
    torch.manual_seed(0)
    return UNet(patch_size=PATCH, base_features=4)


@pytest.fixture
def make_step(network: UNet) -> MakeStep:
    def make(
        images: Mapping[Domain, Tensor],
        logits: Tensor,
        *,
        loaded: Mapping[Domain, Tensor] | None = None,
        decoder: list[Tensor] | None = None,
        bottleneck: Tensor | None = None,
        watched: bool = False,
        student: UNet | None = None,
    ) -> tuple[Step, Logged]:
        logged: Logged = {}

        def log(name: str, value: Tensor, samples: int | Tensor) -> None:
            logged[name] = (value.item(), int(samples))

        step = Step(
            network=student or network,
            loaded=images if loaded is None else loaded,
            images=images,
            output=NetworkOutput([logits], decoder or [], logits if bottleneck is None else bottleneck),
            draw=Draw(3, 1, 2),
            log=log,
            watched=watched,
        )
        return step, logged

    return make
