"""Domain-specific batch norms: what the method asks for, and which networks it refuses."""

import pytest
import torch
from torch import nn

from pedseg.adaptation import DomainNorm
from pedseg.errors import PedsegError
from pedseg.labels import Domain
from pedseg.networks import UNet
from tests.adaptation.steps import PATCH, MakeStep, brainy


def test_networks_without_batch_norms_are_refused(network: UNet) -> None:
    with pytest.raises(PedsegError, match=r"has none; give model\.norm=batch"):
        DomainNorm().start(network)


def test_batch_norms_are_found_whatever_their_kind() -> None:
    network = UNet(patch_size=PATCH, base_features=4, norm="batch")
    DomainNorm().start(network)
    DomainNorm().start(nn.SyncBatchNorm.convert_sync_batchnorm(network))  # type: ignore[no-untyped-call]


def test_it_only_separates(make_step: MakeStep) -> None:
    """No weights, no term of the loss, no change of the images; it needs a target."""
    method = DomainNorm()
    assert method.separates_domains
    assert method.needs_target
    assert not method.state_dict()
    images = {Domain.SOURCE: brainy(1), Domain.TARGET: brainy(2, seed=1)}
    step, logged = make_step(images, torch.zeros(3, 3, *PATCH))
    assert method.loss(step) is None
    assert method.change(images, step.draw) is images
    assert not logged
