"""Size prior against a loop over voxels, and where it pushes."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from pedseg.adaptation import SizePrior
from pedseg.errors import PedsegError
from pedseg.labels import Domain
from tests.adaptation.steps import Logged, MakeStep, brainy, made

SIZE = (4, 6, 6)
BOUNDS = {"tc": (0.85, 1.0), "et": (0.05, 0.35)}


def prior(*, weight: float = 1.0, **settings: Any) -> SizePrior:
    values: dict[str, Any] = {"bounds": BOUNDS, "fewest_voxels": 10} | settings
    method = SizePrior(weight=weight, start=-1.0, end=0.0, **values)
    method.start_epoch(0.0)
    return method


def tumour(*, tc: float, et: float, samples: int = 2) -> Tensor:
    """Random logits whose WT fills about half of the voxels, with these means of the logits of TC and ET."""
    logits = torch.randn(samples, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    logits[:, 1] += tc
    logits[:, 2] += et
    return logits


def loss_of(make_step: MakeStep, method: SizePrior, logits: Tensor) -> tuple[Tensor, Logged]:
    images = {Domain.TARGET: brainy(len(logits), size=SIZE)}
    step, logged = make_step(images, logits)
    loss = method.loss(step)
    assert loss is not None
    return loss, logged


def test_loss_equals_a_loop_over_voxels(make_step: MakeStep) -> None:
    logits = tumour(tc=-1, et=2)
    sums, voxels = [0.0, 0.0], 0
    for sample in range(2):
        for z, y, x in torch.cartesian_prod(*map(torch.arange, SIZE)).tolist():
            wt, tc, et = logits[sample, :, z, y, x].tolist()
            if wt > 0:
                voxels += 1
                sums[0] += 1 / (1 + math.exp(-tc))
                sums[1] += 1 / (1 + math.exp(-et))
    tc, et = (s / voxels for s in sums)
    assert tc < 0.85
    assert et > 0.35
    loss, logged = loss_of(make_step, prior(weight=2.0), logits)
    assert float(loss) == pytest.approx(2 * ((0.85 - tc) ** 2 + (et - 0.35) ** 2), rel=1e-4)
    assert logged["share_tc"] == (pytest.approx(tc, rel=1e-5), 2)
    assert logged["share_et"] == (pytest.approx(et, rel=1e-5), 2)
    assert logged["loss_prior"] == (pytest.approx(float(loss) / 2), 2)


@pytest.mark.parametrize(("tc", "et", "tc_rises", "et_rises"), [(-1, -6, True, True), (8, 3, None, False)])
def test_it_pushes_the_ratio_into_its_bounds_and_leaves_wt_alone(
    make_step: MakeStep, tc: float, et: float, tc_rises: bool | None, et_rises: bool
) -> None:
    logits = tumour(tc=tc, et=et).requires_grad_()
    loss, before = loss_of(make_step, prior(), logits)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert not gradient[:, 0].any()
    outside = logits.detach()[:, :1] <= 0
    assert not (gradient * outside).any()
    better, after = loss_of(make_step, prior(), logits.detach() - 50 * gradient)
    assert float(better) < float(loss)
    for name, rises in (("tc", tc_rises), ("et", et_rises)):
        moved = after[f"share_{name}"][0] - before[f"share_{name}"][0]
        assert moved == 0 if rises is None else (moved > 0) is rises


def test_a_plausible_batch_costs_nothing(make_step: MakeStep) -> None:
    logits = tumour(tc=8, et=-1.5).requires_grad_()
    loss, _ = loss_of(make_step, prior(), logits)
    assert float(loss) == 0
    assert not torch.autograd.grad(loss, logits)[0].any()


def test_hardly_any_tumour_says_nothing(make_step: MakeStep) -> None:
    logits = torch.full((1, 3, *SIZE), -5.0)
    logits[0, 0, 0, 0, :5] = 5.0
    loss, logged = loss_of(make_step, prior(fewest_voxels=6), logits)
    assert float(loss) == 0
    assert logged["share_tc"][1] == 0
    loss, logged = loss_of(make_step, prior(fewest_voxels=5), logits)
    assert float(loss) > 0.7
    assert logged["share_tc"] == (pytest.approx(1 / (1 + math.exp(5)), rel=1e-4), 1)
    logits[:, 0] = -5.0
    assert float(loss_of(make_step, prior(fewest_voxels=0), logits)[0]) == 0


def test_missing_target_and_settings(make_step: MakeStep) -> None:
    assert prior().loss(make_step({Domain.SOURCE: brainy(1)}, torch.zeros(1, 3, 16, 16, 16))[0]) is None
    assert prior().description() == {"bounds": {"tc": [0.85, 1.0], "et": [0.05, 0.35]}}
    for bounds, message in (
        ({"wt": (0.1, 0.2)}, r"^m\.bounds\.wt='wt': should be .*tc.* or .*et"),
        ({"tc": (0.5, 0.5)}, r"^m\.bounds\.tc=\(0\.5, 0\.5\): give \[low, high\], the first below the second"),
        ({"et": (-0.1, 0.2)}, r"^m\.bounds\.et\.0=-0\.1: should be greater than or equal to 0"),
        ({"et": (0.1, 1.2)}, r"^m\.bounds\.et\.1=1\.2: should be less than or equal to 1"),
        ({"tc": (0.1,)}, r"^m\.bounds\.tc: value 2 is missing"),
        ({}, r"^m\.bounds=\{\}: dictionary should have at least 1 item"),
    ):
        with pytest.raises(PedsegError, match=message):
            made(SizePrior, bounds=bounds)
    with pytest.raises(PedsegError, match=r"^m\.start=0\.6: the rise ends at end=0\.6; give less"):
        made(SizePrior, bounds=BOUNDS, start=0.6)
