"""Bytes of the tensors that are alive, operation by operation."""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
ASK_FOR_VALUE = (aten._local_scalar_dense.default, aten.item.default, aten.is_nonzero.default)


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of what operations inside the context make, from then until nothing refers to it any more.

    It is entered after a `FakeTensorMode`, whose tensors have sizes and no values. What asks for a value gets 1, and a
    selection by a mask takes everything: the largest that it could be.

    Attributes:
        now: bytes alive.
        peak: the most there have been.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._counted: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401  (torch's own types)
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Run an operation and count what it made."""
        del types
        if func in ASK_FOR_VALUE:
            return 1
        if func is aten.nonzero.default:
            result = args[0].new_empty((args[0].numel(), args[0].ndim), dtype=torch.long)
        elif func is aten.bincount.default:
            result = args[0].new_empty((kwargs or {}).get("minlength", 0), dtype=torch.long)
        elif func is aten.index.Tensor:
            result = func(args[0], [place for index in args[1] for place in _places(index)])
        else:
            result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.count(leaf)
        return result

    def count(self, tensor: Tensor) -> None:
        """Count the storage of a tensor, once for all of its views."""
        storage = tensor.untyped_storage()
        if storage in self._counted:
            return
        self._counted.add(storage)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, storage.nbytes())

    def _forget(self, size: int) -> None:
        self.now -= size


def _places(index: Tensor | None) -> list[Tensor | None]:
    """An index as numbers; a mask becomes the numbers of all of its places, one tensor per axis."""
    if index is None or index.dtype is not torch.bool:
        return [index]
    return list(index.new_empty((index.ndim, index.numel()), dtype=torch.long).unbind())
