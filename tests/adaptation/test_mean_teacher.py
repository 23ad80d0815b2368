"""Mean teacher: average and loss by hand, what the student sees, and what stays out of it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pedseg.adaptation import Draw, MeanTeacher
from pedseg.adaptation.mean_teacher import AUGMENTED, block_mask
from pedseg.adaptation.method import running_statistics_kept
from pedseg.adaptation.strong import strongly_augmented
from pedseg.errors import PedsegError
from pedseg.labels import Domain
from pedseg.networks import UNet
from tests.adaptation.steps import PATCH, MakeStep, Says, brainy, made, teacher

DRAW = Draw(3, 1, 2)  # of the steps


def batch_normed() -> UNet:
    torch.manual_seed(0)
    network = UNet(patch_size=PATCH, base_features=4, norm="batch")
    network(brainy(2, seed=5))  # running statistics that are not 0 and 1
    return network


def shifted(network: UNet) -> None:
    """What a step of an optimiser does."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)


def test_average_by_hand(network: UNet) -> None:
    """Until 1 / (1 - decay) weights have been met their plain mean, from then on the exponential average."""
    method = teacher(network, decay=0.75)
    met = [[p.detach().clone().double() for p in network.parameters()]]
    expected = met[0]
    for step in range(1, 7):
        shifted(network)
        method.finish_step(network)
        met.append([p.detach().clone().double() for p in network.parameters()])
        if step < 4:
            expected = [torch.stack(weights).mean(0) for weights in zip(*met, strict=True)]
        else:
            expected = [0.75 * e + 0.25 * p for e, p in zip(expected, met[-1], strict=True)]
        assert method.teacher is not None
        for average, wanted in zip(method.teacher.parameters(), expected, strict=True):
            torch.testing.assert_close(average.double(), wanted, atol=1e-6, rtol=1e-5)
    assert method.steps.item() == 6
    assert "steps" in method.state_dict()


def test_statistics_of_batch_norms_are_copied() -> None:
    network = batch_normed()
    method = teacher(network)
    network(3 + 2 * brainy(2, seed=6))
    method.finish_step(network)
    assert method.teacher is not None
    assert all(torch.equal(a, b) for a, b in zip(method.teacher.buffers(), network.buffers(), strict=True))


def test_the_teacher_is_never_trained() -> None:
    network = batch_normed()
    method = teacher(network)
    assert method.teacher is not None
    for mode in (None, True, False, True):
        if mode is not None:
            method.train(mode)
        assert not any(module.training for module in method.teacher.modules())
    assert not any(parameter.requires_grad for parameter in method.parameters())
    assert network.training


def test_loss_by_hand(network: UNet, make_step: MakeStep) -> None:
    """In NumPy, sample by sample, with the student's patch put together from its two parts."""
    images, says = brainy(2), 3 * torch.randn(2, 3, *PATCH, generator=torch.Generator().manual_seed(1))
    method = teacher(network, weight=0.5, says=says, confidence=0.9, masked=0.4, block=4, strength=0.7)
    seen = strongly_augmented(images, DRAW, purpose="student", probability=AUGMENTED, strength=0.7)
    mask = block_mask(images, DRAW, share=0.4, block=4)
    student = network(seen * mask).detach().double().numpy()
    taught = 1 / (1 + np.exp(-says.double().numpy()))
    expected, sure_share = [], []
    for logits, p, image in zip(student, taught, images.numpy(), strict=True):
        brain = np.broadcast_to((image != 0).any(0), p.shape)
        q = 1 / (1 + np.exp(-logits))
        sure = ((p >= 0.9) | (p <= 0.1)) & brain
        disagreement = np.where(p > 0.5, -np.log(q), -np.log(1 - q))
        expected.append(disagreement[sure].sum() / brain.sum())
        sure_share.append(sure.sum() / brain.sum())
    step, logged = make_step({Domain.SOURCE: brainy(1), Domain.TARGET: images}, torch.zeros(3, 3, *PATCH))
    loss = method.loss(step)
    assert loss is not None
    assert loss.item() == pytest.approx(0.5 * np.mean(expected), rel=1e-4)
    assert logged["loss_consistency"] == (pytest.approx(np.mean(expected), rel=1e-4), 2)
    assert logged["teacher_sure"] == (pytest.approx(np.mean(sure_share), rel=1e-4), 2)
    assert logged["teacher_guarded"] == (0.0, 2)
    torch.autograd.backward(loss)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_the_teacher_sees_the_patch_as_it_was_loaded(network: UNet, make_step: MakeStep) -> None:
    method = teacher(network, says=torch.full((1, 3, *PATCH), 9.0))
    loaded, changed = {Domain.TARGET: brainy(1)}, {Domain.TARGET: 7 * brainy(1)}
    first = method.loss(make_step(changed, torch.zeros(1, 3, *PATCH), loaded=loaded)[0])
    assert isinstance(method.teacher, Says)
    assert torch.equal(method.teacher.asked[0], loaded[Domain.TARGET])
    second = method.loss(make_step(loaded, torch.zeros(1, 3, *PATCH))[0])
    assert first is not None
    assert second is not None
    assert torch.equal(first, second)


def test_a_student_that_follows_its_loss_comes_to_agree(network: UNet, make_step: MakeStep) -> None:
    says = 9.0 * torch.randn(1, 3, *PATCH, generator=torch.Generator().manual_seed(1)).sign()
    method = teacher(network, says=says, masked=0.0, strength=0.0)
    optimizer, losses = torch.optim.SGD(network.parameters(), lr=0.05), []
    for _ in range(5):
        loss = method.loss(make_step({Domain.TARGET: brainy(1)}, torch.zeros(1, 3, *PATCH))[0])
        assert loss is not None
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)


def test_an_unsure_teacher_teaches_nothing(network: UNet, make_step: MakeStep) -> None:
    method = teacher(network, says=torch.zeros(1, 3, *PATCH))
    step, logged = make_step({Domain.TARGET: brainy(1)}, torch.zeros(1, 3, *PATCH))
    loss = method.loss(step)
    assert loss is not None
    assert loss.item() == 0
    assert logged["teacher_sure"] == (0.0, 1)


def test_guard_holds_back_regions_of_implausible_size(network: UNet) -> None:
    method = teacher(network, plausible={"tc": (0.4, 1.0), "et": (0.0, 0.6)})
    label = torch.zeros(6, 3, 1, 1, 10, dtype=torch.bool)
    voxels = [(10, 4, 6), (10, 3, 6), (10, 4, 7), (0, 0, 0), (5, 6, 0), (0, 2, 0)]  # of WT, TC, ET
    for sample, counts in zip(label, voxels, strict=True):
        for region, count in zip(sample, counts, strict=True):
            region[..., :count] = True
    expected = [[1, 1, 1], [1, 0, 1], [1, 1, 0], [1, 1, 1], [1, 0, 1], [1, 0, 1]]
    assert method._plausible(label).int().tolist() == expected
    assert teacher(network)._plausible(label).all()


def test_the_guard_reaches_the_loss(network: UNet, make_step: MakeStep) -> None:
    says = torch.full((1, 3, *PATCH), 9.0)
    says[:, 1] = -9.0  # tumour without a core
    step, logged = make_step({Domain.TARGET: brainy(1)}, torch.zeros(1, 3, *PATCH))
    guarded = teacher(network, says=says, plausible={"tc": (0.4, 1.0)}).loss(step)
    assert logged["teacher_guarded"] == (pytest.approx(1 / 3), 1)
    free = teacher(network, says=says).loss(step)
    assert guarded is not None
    assert free is not None
    (head,) = torch.autograd.grad(guarded, network.seg_layers[0].conv.conv.bias, retain_graph=True)  # type: ignore[arg-type, union-attr]
    assert head[0] != 0
    assert head[1] == 0
    assert guarded < free


def test_nothing_is_computed_without_weight_or_target(network: UNet, make_step: MakeStep) -> None:
    says = torch.zeros(1, 3, *PATCH)
    idle = teacher(network, weight=0.0, says=says)
    assert idle.loss(make_step({Domain.TARGET: brainy(1)}, says)[0]) is None
    alone = teacher(network, says=says)
    assert alone.loss(make_step({Domain.SOURCE: brainy(1)}, says)[0]) is None
    for method in (idle, alone):
        assert isinstance(method.teacher, Says)
        assert not method.teacher.asked


def test_batch_norms_do_not_remember_what_the_student_saw(make_step: MakeStep) -> None:
    network = batch_normed()
    method = teacher(network, says=torch.full((2, 3, *PATCH), 9.0), masked=0.5)
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    assert before
    step, _ = make_step({Domain.TARGET: brainy(2)}, torch.zeros(2, 3, *PATCH), student=network)
    loss = method.loss(step)
    assert all(torch.equal(buffer, before[name]) for name, buffer in network.named_buffers())
    # and yet it is normalised by its own batch
    assert loss is not None
    network.eval()
    other = method.loss(step)
    assert other is not None
    assert not torch.isclose(loss, other)


def test_running_statistics_go_on_after_an_error() -> None:
    network = batch_normed()
    with pytest.raises(ZeroDivisionError), running_statistics_kept(network):
        raise ZeroDivisionError
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    assert norms
    assert all(norm.track_running_stats for norm in norms)


def test_mask_hides_whole_blocks() -> None:
    images = torch.zeros(3, 4, 20, 16, 9)
    mask = block_mask(images, DRAW, share=0.5, block=8)
    assert mask.shape == (3, 1, 20, 16, 9)
    for sample in mask[:, 0]:
        for z in range(0, 20, 8):
            for y in range(0, 16, 8):
                for x in range(0, 9, 8):
                    assert len(sample[z : z + 8, y : y + 8, x : x + 8].unique()) == 1
    assert not torch.equal(mask[0], mask[1])
    assert block_mask(images, DRAW, share=0.0, block=8).all()
    assert not block_mask(images, DRAW, share=1.0, block=8).any()


def test_share_of_the_mask_and_processes() -> None:
    images = torch.zeros(4, 4, 32, 32, 32)
    whole = block_mask(images, DRAW, share=0.3, block=4)
    assert float(whole.mean()) == pytest.approx(0.7, abs=0.03)
    halves = [block_mask(images[:2], Draw(3, 1, 2, rank), share=0.3, block=4) for rank in (0, 1)]
    assert torch.equal(torch.cat(halves), whole)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decay": 1.5}, r"m\.decay=1\.5: should be less than or equal to 1"),
        ({"confidence": 0.4}, r"m\.confidence=0\.4: should be greater than or equal to 0\.5"),
        ({"confidence": 1}, r"m\.confidence=1: should be less than 1"),
        ({"masked": -0.1}, r"m\.masked=-0\.1"),
        ({"strength": 2}, r"m\.strength=2"),
        ({"weight": -1}, r"m\.weight=-1"),
        ({"block": 0}, r"m\.block=0"),
        ({"block": 1.5}, r"m\.block=1\.5"),
        ({"plausible": {"wt": (0, 1)}}, r"m\.plausible\.wt"),
        ({"shares": {"wt": 1.5}}, r"m\.shares\.wt=1\.5"),
        ({"shares": {"wt": 0.1}, "decay": 1}, r"m\.decay=1\.0: lets no count fade"),
        ({"end": 0.2}, r"m\.start=0\.2: the rise ends at end=0\.2"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PedsegError, match=message):
        made(MeanTeacher, **settings)
