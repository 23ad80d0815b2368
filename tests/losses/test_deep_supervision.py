"""Weights and labels of the heads."""

import pytest
import torch
from torch import nn

from pedseg.errors import PedsegError
from pedseg.losses import DeepSupervisionLoss, DiceBCELoss


def heads_of(*sizes: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(1, 3, size, size, size, requires_grad=True) for size in sizes]


def test_weights_are_nnunets() -> None:
    loss = DeepSupervisionLoss(nn.MSELoss())
    assert loss.head_weights(5) == pytest.approx((0.5333, 0.2667, 0.1333, 0.0667, 0), abs=5e-5)
    assert loss.head_weights(1) == (1.0,)
    assert loss.head_weights(2) == (1.0, 0.0)


def test_sum_by_hand_with_nearest_exact_labels() -> None:
    heads = heads_of(8, 4, 2)
    label = (torch.rand(1, 3, 8, 8, 8) > 0.5).float()
    total = DeepSupervisionLoss(DiceBCELoss())(heads, label)
    half = label[:, :, 1::2, 1::2, 1::2]  # nearest-exact takes voxel floor(2 (i + 0.5)) = 2 i + 1
    single = DiceBCELoss()
    torch.testing.assert_close(total, 2 / 3 * single(heads[0], label) + 1 / 3 * single(heads[1], half))


def test_ignored_voxels_are_resampled_as_labels_are() -> None:
    heads = heads_of(8, 4, 2)
    label = (torch.rand(1, 4, 8, 8, 8) > 0.5).float()
    half = label[:, :, 1::2, 1::2, 1::2]
    total = DeepSupervisionLoss(DiceBCELoss())(heads, label)
    single = DiceBCELoss()
    torch.testing.assert_close(total, 2 / 3 * single(heads[0], label) + 1 / 3 * single(heads[1], half))
    total.backward()
    for head, masks in zip(heads, (label, half), strict=False):
        ignored = (masks[:, 3:] > 0).expand_as(head)
        assert head.grad is not None
        assert ignored.any()
        assert not head.grad[ignored].any()
        assert head.grad[~ignored].all()


def test_a_head_without_weight_has_a_gradient_of_zero() -> None:
    heads = heads_of(8, 4, 2)
    DeepSupervisionLoss(DiceBCELoss())(heads, torch.zeros(1, 3, 8, 8, 8)).backward()
    assert heads[2].grad is not None
    assert not heads[2].grad.any()
    assert heads[1].grad is not None
    assert heads[1].grad.any()


def test_one_head_is_the_plain_loss() -> None:
    (head,) = heads_of(4)
    label = torch.ones(1, 3, 4, 4, 4)
    assert torch.equal(DeepSupervisionLoss(DiceBCELoss())([head], label), DiceBCELoss()(head, label))


def test_own_weights_are_normalised_and_checked() -> None:
    loss = DeepSupervisionLoss(nn.MSELoss(), weights=[3, 1])
    assert loss.head_weights(2) == (0.75, 0.25)
    with pytest.raises(PedsegError, match="2 deep supervision weights for 3 heads"):
        loss.head_weights(3)
    for bad in ([0, 0], [1, -1], []):
        with pytest.raises(PedsegError, match="must be 0 or more"):
            DeepSupervisionLoss(nn.MSELoss(), weights=bad)
