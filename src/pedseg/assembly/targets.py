"""Optimiser and schedule of the learning rate, which the settings name by ``_target_``."""

import inspect
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import nn
from torch.optim import Optimizer

from pedseg.errors import PedsegError
from pedseg.settings.signature import checked_arguments
from pedseg.settings.targets import TARGET, imported, target_class
from pedseg.settings.training import LrSchedule
from pedseg.settings.training import Optimizer as OptimizerSettings

MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
Schedule = Callable[[float], float]


def build_optimizer(settings: OptimizerSettings) -> MakeOptimizer:
    """What makes the optimiser of given parameters.

    Raises:
        PedsegError: there is no such optimiser, or it refuses its arguments.
    """
    kind = target_class({TARGET: settings.target}, Optimizer, where="optimizer")
    arguments = checked_arguments(kind, settings.arguments, where="optimizer", without=["params"])
    make: MakeOptimizer = partial(kind, **arguments)
    try:
        make([nn.Parameter(torch.zeros(1))])
    except (ValueError, TypeError, RuntimeError) as error:
        raise PedsegError(f"optimizer: {error}") from error
    return make


def build_schedule(settings: LrSchedule) -> Schedule:
    """The factor of the learning rate as a function of progress.

    Raises:
        PedsegError: there is no such function, or it does not take the arguments.
    """
    key = f"lr_schedule.{TARGET}={settings.target}"
    function = imported(settings.target, key=key, wanted="a function of progress")
    if not callable(function):
        raise PedsegError(f"{key} is nothing that can be called; give a function of progress")
    first = next(iter(inspect.signature(function).parameters), "")
    arguments = checked_arguments(function, settings.arguments, where="lr_schedule", without=[first])
    schedule: Schedule = partial(function, **arguments)
    try:
        float(schedule(0.0))
    except (ValueError, TypeError, ArithmeticError) as error:
        raise PedsegError(f"{key}: gives no factor at progress 0 ({error})") from error
    return schedule
