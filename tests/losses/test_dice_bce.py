"""nnU-Net's loss by hand and against nnU-Net's own."""

import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pedseg.losses import DeepSupervisionLoss, DiceBCELoss

PEER_PROGRAM = """
import sys, torch
import numpy as np
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import DownsampleSegForDSTransform
loss = DC_and_BCE_loss({}, {"batch_dice": False, "do_bg": True, "smooth": 1e-5, "ddp": False},
                       use_ignore_label=False, dice_class=MemoryEfficientSoftDiceLoss)
weights = np.array([1, 0.5, 0.25, 0.125, 0])
supervised = DeepSupervisionWrapper(loss, weights / weights.sum())
torch.manual_seed(0)
label = (torch.rand(2, 3, 16, 32, 16) > 0.7)
label[1, 2] = False
heads = [torch.randn(2, 3, 16 // k, 32 // k, 16 // k).mul(3).requires_grad_() for k in (1, 2, 4, 8, 16)]
small = DownsampleSegForDSTransform([[1 / k] * 3 for k in (1, 2, 4, 8, 16)])
samples = [small._apply_to_segmentation(sample.to(torch.int16)) for sample in label]
labels = [torch.stack(level).bool() for level in zip(*samples)]
single = loss(heads[0], labels[0])
single.backward()
gradient = heads[0].grad.clone()
heads[0].grad = None
total = supervised(heads, labels)
total.backward()
torch.save({"label": label, "heads": [h.detach() for h in heads], "single": single.detach(), "gradient": gradient,
            "total": total.detach(), "gradients": [h.grad for h in heads[:4]]}, sys.argv[1])
"""


def by_hand(logits: Tensor, label: Tensor, bce_weight: float = 1, dice_weight: float = 1) -> Tensor:
    """The formula, voxel by voxel and region by region, in float64."""
    logits, label = logits.double(), label.double()
    p = 1 / (1 + torch.exp(-logits))
    bce = -(label * torch.log(p) + (1 - label) * torch.log(1 - p)).mean()
    dice = [
        (2 * (q * g).sum() + 1e-5) / (g.sum() + q.sum() + 1e-5)
        for qs, gs in zip(p, label, strict=True)
        for q, g in zip(qs, gs, strict=True)
    ]
    return bce_weight * bce - dice_weight * torch.stack(dice).mean()


def example() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    label = (torch.rand(2, 3, 6, 5, 4) > 0.6).float()
    label[1, 2] = 0  # a region that one sample lacks
    return torch.randn(2, 3, 6, 5, 4), label


@pytest.mark.parametrize(("bce_weight", "dice_weight"), [(1, 1), (3, 0.5)])
def test_value_and_gradient_by_hand(bce_weight: float, dice_weight: float) -> None:
    logits, label = example()
    ours, exact = logits.clone().requires_grad_(), logits.double().requires_grad_()
    loss = DiceBCELoss(bce_weight=bce_weight, dice_weight=dice_weight)(ours, label)
    reference = by_hand(exact, label, bce_weight, dice_weight)
    loss.backward()
    torch.autograd.backward(reference)
    torch.testing.assert_close(loss.double(), reference, atol=1e-6, rtol=0)
    assert ours.grad is not None
    assert exact.grad is not None
    torch.testing.assert_close(ours.grad.double(), exact.grad, atol=1e-8, rtol=1e-4)


def test_perfect_and_empty_masks() -> None:
    label = torch.zeros(1, 3, 4, 4, 4)
    label[:, :, :2] = 1
    assert DiceBCELoss()(200 * (label - 0.5), label).item() == pytest.approx(-1)
    empty = torch.zeros(1, 3, 4, 4, 4)
    assert DiceBCELoss()(torch.full_like(empty, -100), empty).item() == pytest.approx(-1)


def test_half_precision_logits_are_summed_in_float32() -> None:
    """The label's sum, 131,072, is beyond half precision's largest number, 65,504."""
    label = torch.ones(1, 1, 32, 64, 64, dtype=torch.bool)
    logits = torch.full((1, 1, 32, 64, 64), 20.0, dtype=torch.float16)
    with torch.autocast("cpu", torch.bfloat16):
        loss = DiceBCELoss()(logits, label)
    assert loss.dtype is torch.float32
    assert loss.item() == pytest.approx(-1, abs=1e-5)


def test_value_and_gradient_equal_nnunets(peers_python: Path, tmp_path: Path) -> None:
    path = tmp_path / "loss.pt"
    subprocess.run([str(peers_python), "-c", PEER_PROGRAM, str(path)], check=True)
    peer = torch.load(path, weights_only=True)
    heads = [head.requires_grad_() for head in peer["heads"]]
    single = DiceBCELoss()(heads[0], peer["label"])
    torch.testing.assert_close(single, peer["single"], atol=1e-6, rtol=0)
    (gradient,) = torch.autograd.grad(single, heads[0])
    torch.testing.assert_close(gradient, peer["gradient"], atol=1e-8, rtol=1e-4)
    total = DeepSupervisionLoss(DiceBCELoss())(heads, peer["label"])
    torch.testing.assert_close(total, peer["total"], atol=1e-6, rtol=0)
    gradients = torch.autograd.grad(total, heads)
    for gradient, reference in zip(gradients, [*peer["gradients"], torch.zeros_like(heads[4])], strict=True):
        torch.testing.assert_close(gradient, reference, atol=1e-8, rtol=1e-4)
