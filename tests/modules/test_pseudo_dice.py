"""Pseudo Dice by hand."""

import pytest
import torch
from torch import Tensor

from pedseg.modules.pseudo_dice import PseudoDice


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
