"""Thresholds by labels against Dice by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pedseg.errors import PedsegError
from pedseg.inference.best_thresholds import BestThresholds, edges
from pedseg.labels import Region
from pedseg.metrics.overlap import count_voxels, dice

SIZE = (6, 7, 8)


def case(seed: int, *, offset: float) -> tuple[Tensor, Tensor]:
    """Logits that tell the labels apart at `offset` with some noise, but for WT, which is right at 0."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.rand(3, *SIZE, generator=generator) > torch.tensor([0.5, 0.7, 0.9])[:, None, None, None]
    logits = torch.where(label, 2.0, -2.0) + torch.randn(3, *SIZE, generator=generator)
    logits[1:] += offset
    logits[0] = torch.where(label[0], 2.0, -2.0)
    return logits, label


def best_by_hand(cases: list[tuple[Tensor, Tensor]], region: int) -> float:
    def mean(threshold: float) -> float:
        pairs = [((logits[region] > threshold).numpy(), label[region].numpy()) for logits, label in cases]
        return float(np.mean([dice(count_voxels(found, wanted)) for found, wanted in pairs]))

    return max(mean(threshold) for threshold in edges()[200:400])


@pytest.mark.parametrize("offset", [-5.0, 0.0, 3.0])
def test_no_other_threshold_is_better(offset: float) -> None:
    cases = [case(seed, offset=offset) for seed in range(3)]
    best = BestThresholds()
    for logits, label in cases:
        best.count(logits, label)
    found = best.thresholds()
    assert found[0] == pytest.approx(0.0)  # as good at 0 as anywhere around it
    assert found[1] == pytest.approx(offset, abs=1.0)
    for region, name in enumerate(Region):
        assert best.dice()[name] == pytest.approx(best_by_hand(cases, region), abs=0.02)


def test_ignored_voxels_choose_nothing() -> None:
    """A half in which the labels are wrong, beside one in which they are right."""
    logits, label = case(0, offset=3.0)
    ignored = torch.zeros(1, *SIZE, dtype=torch.bool)
    ignored[:, 3:] = True
    wrong = torch.where(ignored, ~label, label)
    best, alone = BestThresholds(), BestThresholds()
    best.count(logits, torch.cat([wrong, ignored]))
    alone.count(logits[:, :3], label[:, :3])
    assert best.thresholds() == alone.thresholds()
    assert best.dice() == alone.dice()


def test_a_region_that_no_case_has_is_found_in_none() -> None:
    logits, label = case(0, offset=0.0)
    label[2] = False
    best = BestThresholds()
    best.count(logits, label)
    assert not (logits[2] > best.thresholds()[2]).any()
    assert best.dice()["et"] == 1


def test_without_a_case_there_is_none() -> None:
    with pytest.raises(PedsegError, match="no labelled case"):
        BestThresholds().thresholds()
