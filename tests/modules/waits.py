"""Finds what would make the host wait for a GPU, on the CPU, where the same calls are made."""

import traceback
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import pedseg

PACKAGES = tuple(str(Path(str(package.__file__)).parent) for package in (pedseg, lightning))
# Operators whose result, or whose size, the host has to know.
OPERATORS = {"_local_scalar_dense", "is_nonzero", "nonzero", "bincount", "masked_select", "equal", "_unique2"}
INDEXING = {"index", "index_put", "index_put_"}  # by a mask these look for what is not zero
# Calls that bring values to the host; those of `to` and `tensor` count where they would copy and wait.
CALLS = {"item", "tolist", "numpy", "cpu", "__array__", "__bool__", "__float__", "__int__", "__index__"}


class Waits(Callback):
    """Counts by place what waits in the steps of an epoch after its first, other callbacks and loggers included."""

    def __init__(self) -> None:
        self.watching = False
        self.steps = 0
        self.found: Counter[str] = Counter()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.watching = batch_idx > 0
        self.steps += self.watching

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: object) -> None:
        self.watching = self.watching and not trainer.is_last_batch  # behind which the epoch ends

    def note(self, name: str) -> None:
        frames = [frame for frame in traceback.extract_stack() if frame.filename.startswith(PACKAGES)]
        place = frames[-1] if frames else None
        if name == "to" and not (place and place.filename.startswith(PACKAGES[0])):
            return  # Lightning moves the batch without waiting, and all else lies where it is sent
        self.found[f"{name} at {place.filename}:{place.lineno}" if place else f"{name} in the backward"] += 1

    @contextmanager
    def looking(self) -> Generator[None]:
        """Look at everything that is called inside."""
        with ExitStack() as stack:
            stack.enter_context(_Calls(self))
            stack.enter_context(_Operators(self))
            yield


class _Operators(TorchDispatchMode):
    def __init__(self, waits: Waits) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits = waits

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if self.waits.watching and (name in OPERATORS or (name in INDEXING and _has_mask(args[1]))):
            self.waits.note(name)
        return func(*args, **(kwargs or {}))


class _Calls(TorchFunctionMode):
    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if self.waits.watching and (name in CALLS or _copies(name, args, kwargs)):
            self.waits.note(name)
        return func(*args, **kwargs)


def _has_mask(indices: Any) -> bool:
    return any(isinstance(index, Tensor) and index.dtype == torch.bool for index in indices)


def _copies(name: str, args: Any, kwargs: Any) -> bool:
    """Whether a call would copy from the host and wait until that is done."""
    if name in ("tensor", "as_tensor"):
        return kwargs.get("device") is not None
    goes = any(isinstance(value, torch.device) for value in (*args, *kwargs.values()))
    return name == "to" and goes and not kwargs.get("non_blocking", False)
