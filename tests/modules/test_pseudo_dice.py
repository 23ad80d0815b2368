"""Pseudo Dice by hand and against nnU-Net's online validation."""

import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pedseg.modules.pseudo_dice import PseudoDice
from tests.exactness import Exact

PEER = {"section": "Training", "peer": "nnunetv2"}
PER_REGION = "Pseudo Dice: each region, four epochs of five validation batches"
AVERAGE = "Pseudo Dice: moving average over four epochs"
PEER_PROGRAM = """
import sys, torch
from types import SimpleNamespace
from nnunetv2.training.logging.nnunet_logger import MetaLogger
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
logits, labels = torch.load(sys.argv[1], weights_only=True)
# What the trainer's own validation reads; its network passes the logits of the batch through.
trainer = SimpleNamespace(
    device=torch.device("cpu"), network=lambda logits: [logits], loss=lambda output, target: torch.zeros(()),
    enable_deep_supervision=True, label_manager=SimpleNamespace(has_regions=True, has_ignore_label=False),
    is_ddp=False, logger=MetaLogger(sys.argv[2], resume=False))
dice, ema = [], []
for trainer.current_epoch in range(len(logits)):
    batches = zip(logits[trainer.current_epoch], labels[trainer.current_epoch])
    outputs = [nnUNetTrainer.validation_step(trainer, {"data": x, "target": [y]}) for x, y in batches]
    nnUNetTrainer.on_validation_epoch_end(trainer, outputs)
    dice.append(trainer.logger.get_value("dice_per_class_or_region", trainer.current_epoch))
    ema.append(trainer.logger.get_value("ema_fg_dice", trainer.current_epoch))
torch.save({"dice": torch.tensor(dice).double(), "ema": torch.tensor(ema).double()}, sys.argv[3])
"""


def same(counts: Tensor) -> Tensor:
    return counts


def example() -> tuple[Tensor, Tensor]:
    """Region 0: 2 hits, 1 extra, 1 missed; region 1: nothing anywhere; region 2: 3 missed."""
    prediction, label = torch.zeros(2, 3, 1, 2, 2), torch.zeros(2, 3, 1, 2, 2)
    prediction[0, 0, 0, 0] = prediction[1, 0, 0, 0, 0] = 1
    label[0, 0, 0, 0] = label[1, 0, 0, 1, 1] = 1
    label[0, 2, 0, 0] = label[1, 2, 0, 0, 0] = 1
    return 2 * prediction - 1, label


def test_counts_over_patches() -> None:
    logits, label = example()
    score = PseudoDice(regions=3)
    for sample in (0, 1):
        score.update(logits[sample : sample + 1], label[sample : sample + 1])
    assert score.counts.tolist() == [[2, 0, 0], [1, 0, 0], [1, 0, 3]]
    dice, mean = score.compute(same)
    assert dice[0].item() == pytest.approx(4 / 6)
    assert dice[1].isnan()
    assert dice[2].item() == 0
    assert mean.item() == pytest.approx(1 / 3)


def test_counts_of_all_processes_enter() -> None:
    logits, label = example()
    score = PseudoDice(regions=3)
    score.update(logits, label)
    dice, _ = score.compute(lambda counts: counts + torch.tensor([[6, 0, 0], [0, 0, 0], [0, 0, 0]]))
    assert dice[0].item() == pytest.approx(16 / 18)


def test_moving_average_is_saved_and_skips_nan() -> None:
    logits, label = example()
    score = PseudoDice(regions=3)
    score.compute(same)  # nothing counted: every Dice is NaN
    assert score.ema.isnan()
    score.update(logits, label)
    score.compute(same)
    assert score.ema.item() == pytest.approx(1 / 3)
    score.reset()
    score.update(2 * label - 1, label)
    score.compute(same)
    assert score.ema.item() == pytest.approx(0.9 / 3 + 0.1)
    assert list(score.state_dict()) == ["ema"]


@pytest.mark.exact(PER_REGION, **PEER, tolerance=1e-6)
@pytest.mark.exact(AVERAGE, **PEER, tolerance=1e-6)
def test_equals_nnunets_online_validation(peers_python: Path, tmp_path: Path, exact: Exact) -> None:
    """One region is nowhere in the second epoch; a whole epoch without any would turn nnU-Net's average into NaN."""
    torch.manual_seed(0)
    labels = torch.rand(4, 5, 2, 3, 8, 9, 10) > torch.tensor([0.5, 0.8, 0.99]).view(3, 1, 1, 1)
    logits = torch.randn(labels.shape) + 2 * labels - 1
    labels[1, :, :, 2] = False
    logits[1, :, :, 2] = -1
    torch.save([logits, labels], tmp_path / "given.pt")
    files = [str(tmp_path / name) for name in ("given.pt", "log", "result.pt")]
    subprocess.run([str(peers_python), "-c", PEER_PROGRAM, *files], check=True)
    theirs = torch.load(tmp_path / "result.pt", weights_only=True)
    score = PseudoDice(regions=3)
    for epoch in range(4):
        score.reset()
        for batch in zip(logits[epoch], labels[epoch], strict=True):
            score.update(*batch)
        dice, _ = score.compute(same)
        assert torch.equal(dice.isnan(), theirs["dice"][epoch].isnan())
        exact((dice - theirs["dice"][epoch]).nan_to_num().abs().max(), PER_REGION)
        exact((score.ema - theirs["ema"][epoch]).abs(), AVERAGE)
    assert theirs["dice"].isnan().sum() == 1


def test_ignored_voxels_are_not_counted() -> None:
    logits, label = example()
    ignored = torch.zeros(2, 1, 1, 2, 2)
    ignored[0, 0, 0, 0, 0] = 1  # a hit of region 0, a miss of region 2
    ignored[1, 0, 0, 0, 0] = 1  # the extra voxel of region 0, a miss of region 2
    score = PseudoDice(regions=3)
    score.update(logits, torch.cat([label, ignored], dim=1))
    assert score.counts.tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 1]]
