"""The processes that predict the cases of a run together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from lightning.pytorch import Trainer
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Processes:
    """One process of several, or the only one.

    Attributes:
        device: where this one computes.
        trainer: what has brought them together; None for the only one.
    """

    device: torch.device
    trainer: Trainer | None = None

    @classmethod
    def of(cls, trainer: Trainer) -> "Processes":
        """Those of a training that has ended."""
        return cls(trainer.strategy.root_device, trainer)

    @property
    def first(self) -> bool:
        """Whether this one speaks for all."""
        return self.trainer is None or self.trainer.is_global_zero

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """The items that are this process's."""
        return items if self.trainer is None else items[self.trainer.global_rank :: self.trainer.world_size]

    def wait(self, what: str) -> None:
        """Wait until all have come here."""
        if self.trainer is not None:
            self.trainer.strategy.barrier(what)

    def add_up(self, total: Tensor) -> None:
        """Replace a sum over the items of this process by that over all, in place."""
        if self.trainer is not None and self.trainer.world_size > 1:
            total.copy_(torch.as_tensor(self.trainer.strategy.reduce(total.to(self.device), reduce_op="sum")))
