"""Histograms of logits and their quantiles, against NumPy."""

import math

import numpy as np
import pytest
import torch

from pedseg.metrics.histogram import LIMIT, WIDTH, bins_of, histogram, quantile


@pytest.mark.parametrize("limit", [LIMIT, 30.0])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.922, 0.999])
def test_quantiles_are_those_of_the_values(limit: float, share: float) -> None:
    values = 4 * torch.randn(20, 30, 40, generator=torch.Generator().manual_seed(1))
    counts = histogram(values, limit=limit)
    assert counts.shape == (bins_of(limit),)
    assert counts.sum() == values.numel()
    expected = np.clip(np.quantile(values.numpy(), share), -limit, limit)
    assert quantile(counts, share) == pytest.approx(expected, abs=WIDTH)


def test_parts_add_up() -> None:
    values = 5 * torch.randn(1000, generator=torch.Generator().manual_seed(2))
    assert torch.equal(histogram(values[:300]) + histogram(values[300:]), histogram(values))


def test_what_is_beyond_or_no_number_is_at_an_end() -> None:
    counts = histogram(torch.tensor([math.nan, -math.inf, -1e6, 1e6, math.inf, LIMIT, 0.0]))
    assert [int(counts[place]) for place in (0, -1, bins_of() // 2)] == [3, 3, 1]


def test_within_a_bin_counts_are_even() -> None:
    counts = torch.zeros(bins_of())
    counts[bins_of() // 2] = 4
    assert [quantile(counts, share) for share in (0.25, 0.5, 1.0)] == pytest.approx([0.025, 0.05, 0.1])
