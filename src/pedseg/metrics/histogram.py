"""Histograms of logits, which can be added up over cases, steps and processes, and their quantiles."""

import torch
from torch import Tensor

LIMIT = 10.0  # logits beyond are as sure as those at it (a probability of 0.99995)
WIDTH = 0.1  # of a bin


def bins_of(limit: float = LIMIT) -> int:
    """Number of bins from ``-limit`` to `limit`."""
    return round(2 * limit / WIDTH)


def histogram(logits: Tensor, *, limit: float = LIMIT) -> Tensor:
    """Count logits of any shape: (bins,) int64. Those beyond the limit are in the last bins, NaN is in the first."""
    bins = bins_of(limit)
    index = ((logits.float().clamp(-limit, limit) + limit) / WIDTH).long().clamp(0, bins - 1)
    return torch.bincount(index.flatten(), minlength=bins)


def quantile(counts: Tensor, share: float) -> float:
    """Logit below which `share` of a histogram (bins,) with at least one count lies, even within each bin."""
    last = len(counts) - 1
    total = counts.double().cpu().cumsum(0)
    below: list[float] = (total / total[-1]).tolist()
    index = next(i for i, value in enumerate(below) if value >= share or i == last)
    start = below[index - 1] if index else 0.0
    part = (share - start) / (below[index] - start) if below[index] > start else 0.0
    return WIDTH * (index + min(max(part, 0.0), 1.0) - len(counts) / 2)
