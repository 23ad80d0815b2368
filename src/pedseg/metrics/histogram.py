"""Histograms of logits, which can be added up over cases, steps and processes, and their quantiles."""

import torch
from torch import Tensor
from torch.nn import functional as F

LIMIT = 10.0  # logits beyond are as sure as those at it (a probability of 0.99995)
WIDTH = 0.1  # of a bin


def bins_of(limit: float = LIMIT) -> int:
    """Number of bins from ``-limit`` to `limit`."""
    return round(2 * limit / WIDTH)


def histogram(logits: Tensor, *, limit: float = LIMIT) -> Tensor:
    """Count logits of any shape: (bins,) int64. Those beyond the limit are in the last bins, NaN is in the first."""
    bins = bins_of(limit)
    index = ((logits.float().clamp(-limit, limit) + limit) / WIDTH).long().clamp(0, bins - 1).flatten()
    # Not bincount, which waits for the device to find the largest index.
    return torch.zeros(bins, dtype=torch.long, device=index.device).scatter_add_(0, index, torch.ones_like(index))


def quantile(counts: Tensor, share: float) -> float:
    """Logit below which `share` of a histogram (bins,) with at least one count lies, even within each bin."""
    return float(quantile_scalar(counts.cpu(), share))


def quantile_scalar(counts: Tensor, share: float) -> Tensor:
    """`quantile` as a float64 scalar on the device of the counts, which is not waited for."""
    total = counts.double().cumsum(0)
    below = total / total[-1]
    index = (below < share).sum().clamp(max=len(counts) - 1)
    start, end = F.pad(below, (1, 0)).take(torch.stack([index, index + 1]))
    part = torch.where(end > start, (share - start) / (end - start), 0.0)
    return WIDTH * (index + part.clamp(0.0, 1.0) - len(counts) / 2)
