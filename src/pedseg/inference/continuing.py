"""What a training that goes on takes from its checkpoint beside the weights, checked before Lightning gets it."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import TypeAliasType

from pedseg.errors import PedsegError
from pedseg.inference.checkpoint import read_checkpoint
from pedseg.settings.faults import shown
from pedseg.settings.record import Line, Record, Sequenced

AGAIN = "copy it again, or train the run anew with overwrite=true"
Count = Annotated[int, Field(ge=0, le=2**40)]
Loop = TypeAliasType("Loop", "dict[str, bool | Count | Loop]")


class OptimizerState(Record):
    """State of an optimiser, whose numbers are checked when it has been loaded."""

    state: dict[Count, dict[Line, Any]]
    param_groups: Annotated[tuple[dict[Line, Any], ...], Sequenced]


class Continued(Record):
    """A checkpoint of a training."""

    epoch: Count
    global_step: Count
    state_dict: dict[str, Any]
    loops: dict[str, Loop]
    callbacks: dict[Line, dict[Line, Any]]
    optimizer_states: Annotated[tuple[OptimizerState, ...], Sequenced]
    lr_schedulers: Annotated[tuple[dict[Line, Any], ...], Sequenced]


def finished_epochs(checkpoint: Path) -> int:
    """How many epochs of a training are in its checkpoint, every byte of which is as it was written.

    Raises:
        PedsegError: the file is absent or damaged, or no checkpoint of a training.
    """
    return Continued.of(read_checkpoint(checkpoint), where=checkpoint, fix=AGAIN).epoch + 1


def check_optimizers(optimizers: Iterable[Optimizer], *, where: Path) -> None:
    """Whether optimisers can go on with what was loaded into them.

    Raises:
        PedsegError: a setting or a moment is no number, or a moment has another shape than its weight.
    """
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for name, default in optimizer.defaults.items():
                if not _is_like(group.get(name), default):
                    raise PedsegError(f"{where}: its optimiser's {name} is {shown(group.get(name))}; {AGAIN}")
        for weight, moments in optimizer.state.items():
            for name, value in moments.items():
                if not _fits(value, weight):
                    raise PedsegError(f"{where}: its optimiser's {name} does not fit its weight; {AGAIN}")


def _is_like(value: object, default: object) -> bool:
    if isinstance(default, int | float) and not isinstance(default, bool):
        return isinstance(value, int | float) and math.isfinite(value) and value >= 0
    if default is None:
        return value is None or isinstance(value, bool | int | float)
    return type(value) is type(default)


def _fits(value: object, weight: Tensor) -> bool:
    if isinstance(value, Tensor):
        return value.shape in (weight.shape, torch.Size([])) and bool(value.isfinite().all())
    return value is None or (isinstance(value, int | float) and math.isfinite(value))
