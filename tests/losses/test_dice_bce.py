"""nnU-Net's loss by hand and against nnU-Net's own."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pedseg.losses import DeepSupervisionLoss, DiceBCELoss
from tests.exactness import Exact

PEER = {"section": "Training", "peer": "nnunetv2"}
PEER_PROGRAM = """
import sys, torch
from types import SimpleNamespace
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import DownsampleSegForDSTransform
# What the trainer's own methods read: overlapping regions, and the plan of a 3d_fullres without a low-resolution stage.
trainer = SimpleNamespace(
    label_manager=SimpleNamespace(has_regions=True, ignore_label=None), is_ddp=False, enable_deep_supervision=True,
    configuration_manager=SimpleNamespace(batch_dice=False, pool_op_kernel_sizes=[[1] * 3] + [[2] * 3] * 5),
    _do_i_compile=lambda: False)
trainer._get_deep_supervision_scales = lambda: nnUNetTrainer._get_deep_supervision_scales(trainer)
supervised = nnUNetTrainer._build_loss(trainer)
torch.manual_seed(0)
label = torch.rand(2, 3, 16, 32, 16) > 0.7
label[1, 2] = False
heads = [torch.randn(2, 3, 16 // k, 32 // k, 16 // k).mul(3).requires_grad_() for k in (1, 2, 4, 8, 16)]
small = DownsampleSegForDSTransform(trainer._get_deep_supervision_scales())
samples = [small._apply_to_segmentation(sample.to(torch.int16)) for sample in label]
labels = [torch.stack(level).bool() for level in zip(*samples)]
single = supervised.loss(heads[0], labels[0])
single.backward()
gradient = heads[0].grad.clone()
heads[0].grad = None
total = supervised(heads, labels)
total.backward()
trainer.label_manager.ignore_label = 4
partial = nnUNetTrainer._build_loss(trainer)
marked = torch.cat([label, torch.rand(2, 1, 16, 32, 16) > 0.8], dim=1)
marked[:, :3] &= ~marked[:, 3:]
samples = [small._apply_to_segmentation(sample.to(torch.int16)) for sample in marked]
levels = [torch.stack(level).bool() for level in zip(*samples)]
again = [h.detach().clone().requires_grad_() for h in heads]
one = partial.loss(again[0], levels[0])
one.backward()
ignored = {"label": marked, "single": one.detach(), "gradient": again[0].grad, "total": partial(again, levels).detach()}
torch.save({"ignored": ignored, "label": label, "heads": [h.detach() for h in heads], "single": single.detach(),
            "gradient": gradient, "total": total.detach(), "gradients": [h.grad for h in heads[:4]],
            "weights": torch.tensor(supervised.weight_factors, dtype=torch.float64)}, sys.argv[1])
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


def gradient_as_precise(loss: Tensor, ours: Tensor, reference: Tensor, precise: Tensor) -> Tensor:
    """Gradient of a loss at its logits, whose value and gradient are those of a reference in double precision."""
    torch.autograd.backward(loss)
    torch.autograd.backward(reference)
    torch.testing.assert_close(loss.double(), reference, atol=1e-6, rtol=0)
    assert ours.grad is not None
    assert precise.grad is not None
    torch.testing.assert_close(ours.grad.double(), precise.grad, atol=1e-8, rtol=1e-4)
    return ours.grad


@pytest.mark.parametrize(("bce_weight", "dice_weight"), [(1, 1), (3, 0.5)])
def test_value_and_gradient_by_hand(bce_weight: float, dice_weight: float) -> None:
    logits, label = example()
    ours, precise = logits.clone().requires_grad_(), logits.double().requires_grad_()
    loss = DiceBCELoss(bce_weight=bce_weight, dice_weight=dice_weight)(ours, label)
    reference = by_hand(precise, label, bce_weight, dice_weight)
    gradient_as_precise(loss, ours, reference, precise)


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


@pytest.fixture(scope="module")
def nnunet(peers_python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Loss that nnU-Net's trainer builds for overlapping regions, on random logits of five heads, and gradients."""
    path = tmp_path_factory.mktemp("peer") / "loss.pt"
    subprocess.run([str(peers_python), "-c", PEER_PROGRAM, str(path)], check=True)
    found: dict[str, Any] = torch.load(path, weights_only=True)
    return found


@pytest.mark.exact("Loss: value, two samples of which one lacks a region", **PEER, tolerance=1e-6)
@pytest.mark.exact("Loss: gradient, relative to its largest element", **PEER, tolerance=1e-5)
def test_value_and_gradient_equal_nnunets(nnunet: dict[str, Any], exact: Exact) -> None:
    logits = nnunet["heads"][0].requires_grad_()
    loss = DiceBCELoss()(logits, nnunet["label"])
    exact(abs(loss.item() - nnunet["single"].item()), "Loss: value, two samples of which one lacks a region")
    (gradient,) = torch.autograd.grad(loss, logits)
    exact(relative(gradient, nnunet["gradient"]), "Loss: gradient, relative to its largest element")


@pytest.mark.exact("Deep supervision: weights of five heads", **PEER, tolerance=1e-12)
@pytest.mark.exact("Deep supervision: loss of five heads", **PEER, tolerance=1e-6)
@pytest.mark.exact("Deep supervision: gradients of five heads, relative to the largest element", **PEER, tolerance=1e-5)
def test_deep_supervision_equals_nnunets(nnunet: dict[str, Any], exact: Exact) -> None:
    """The deepest head has no gradient there, and one of zero here; in uncompiled DDP nnU-Net weighs it 1e-6."""
    heads = [head.requires_grad_() for head in nnunet["heads"]]
    supervised = DeepSupervisionLoss(DiceBCELoss())
    for ours, theirs in zip(supervised.head_weights(5), nnunet["weights"].tolist(), strict=True):
        exact(abs(ours - theirs), "Deep supervision: weights of five heads")
    total = supervised(heads, nnunet["label"])
    exact(abs(total.item() - nnunet["total"].item()), "Deep supervision: loss of five heads")
    *gradients, deepest = torch.autograd.grad(total, heads)
    assert not deepest.any()
    for gradient, reference in zip(gradients, nnunet["gradients"], strict=True):
        exact(
            relative(gradient, reference), "Deep supervision: gradients of five heads, relative to the largest element"
        )


def relative(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference as a share of the largest element."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


def partly_ignored() -> tuple[Tensor, Tensor]:
    """Logits, and a label with a mask of ignored voxels that differs from sample to sample."""
    logits, label = example()
    ignored = torch.rand(2, 1, 6, 5, 4) > 0.7
    ignored[1, :, :2] = True
    return logits, torch.cat([label * ~ignored, ignored], dim=1)


def of_the_remaining(logits: Tensor, label: Tensor) -> Tensor:
    """The loss of the voxels that are left, picked out of each sample one by one, in float64."""
    p, kept = logits.double().sigmoid(), label[:, 3] == 0
    bce, dice = [], []
    for sample in range(len(logits)):
        for region in range(3):
            q, g = p[sample, region][kept[sample]], label[sample, region][kept[sample]].double()
            bce.append(-(g * q.log() + (1 - g) * (1 - q).log()))
            dice.append((2 * (q * g).sum() + 1e-5) / (g.sum() + q.sum() + 1e-5))
    return torch.cat(bce).mean() - torch.stack(dice).mean()


def test_ignored_voxels_are_left_out_of_value_and_gradient() -> None:
    logits, label = partly_ignored()
    ours, precise = logits.clone().requires_grad_(), logits.double().requires_grad_()
    loss = DiceBCELoss()(ours, label)
    reference = of_the_remaining(precise, label)
    gradient = gradient_as_precise(loss, ours, reference, precise)
    ignored = (label[:, 3:] > 0).expand_as(logits)
    assert not gradient[ignored].any()
    assert gradient[~ignored].all()


def test_what_stands_below_ignored_voxels_changes_no_bit() -> None:
    logits, label = partly_ignored()
    ignored = label[:, 3:] > 0
    other_logits = torch.where(ignored, 50 * torch.randn_like(logits), logits)
    other_label = torch.cat([torch.where(ignored, 1 - label[:, :3], label[:, :3]), label[:, 3:]], dim=1)
    gradients = []
    for x, y in ((logits, label), (other_logits, other_label)):
        x.requires_grad_()
        loss = DiceBCELoss()(x, y)
        gradients.append((loss.detach(), *torch.autograd.grad(loss, x)))
    for first, second in zip(*gradients, strict=True):
        assert torch.equal(first, second)


def test_a_mask_that_ignores_nothing_and_one_that_ignores_everything() -> None:
    logits, label = example()
    free = torch.cat([label, torch.zeros(2, 1, 6, 5, 4)], dim=1)
    torch.testing.assert_close(DiceBCELoss()(logits, free), DiceBCELoss()(logits, label), atol=1e-6, rtol=0)
    logits.requires_grad_()
    loss = DiceBCELoss()(logits, torch.cat([label, torch.ones(2, 1, 6, 5, 4)], dim=1))
    loss.backward()
    assert loss.item() == -1  # a Dice of 1, and no cross-entropy
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.exact("Loss with ignored voxels: value, BCE weighted 3", **PEER, tolerance=1e-6)
@pytest.mark.exact("Loss with ignored voxels: gradient, relative to its largest element", **PEER, tolerance=1e-5)
@pytest.mark.exact("Loss with ignored voxels: five heads, BCE weighted 3", **PEER, tolerance=1e-6)
def test_ignored_voxels_as_in_nnunet(nnunet: dict[str, Any], exact: Exact) -> None:
    """nnU-Net divides the cross-entropy of all regions by the number of voxels, and not of voxels and regions."""
    heads, theirs = [head.detach() for head in nnunet["heads"]], nnunet["ignored"]
    heads[0].requires_grad_()
    loss = DiceBCELoss(bce_weight=3)(heads[0], theirs["label"])
    exact(abs(loss.item() - theirs["single"].item()), "Loss with ignored voxels: value, BCE weighted 3")
    (gradient,) = torch.autograd.grad(loss, heads[0])
    exact(
        relative(gradient, theirs["gradient"]),
        "Loss with ignored voxels: gradient, relative to its largest element",
    )
    total = DeepSupervisionLoss(DiceBCELoss(bce_weight=3))(heads, theirs["label"])
    exact(abs(total.item() - theirs["total"].item()), "Loss with ignored voxels: five heads, BCE weighted 3")
