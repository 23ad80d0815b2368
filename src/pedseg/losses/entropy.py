"""Entropy of predicted probabilities, region by region, from logits."""

import torch
from torch import Tensor
from torch.nn import functional as F


def self_information(logits: Tensor) -> Tensor:
    """``-p log p`` of every region, then ``-(1-p) log (1-p)`` of every region, in nats.

    Logits are (B, regions, ...) of any precision; the result (B, 2 regions, ...) is float32. Neither it nor its
    gradient overflows, however large the logits.
    """
    logits = logits.float()
    return torch.cat([_weighted_surprise(logits), _weighted_surprise(-logits)], dim=1)


def binary_entropy(logits: Tensor) -> Tensor:
    """Entropy in nats, 0 to ln 2 and float32, of each probability whose logit is given; any shape and precision."""
    logits = logits.float()
    return _weighted_surprise(logits) + _weighted_surprise(-logits)


def _weighted_surprise(logits: Tensor) -> Tensor:
    return -logits.sigmoid() * F.logsigmoid(logits)
