"""A device that is not the CPU, on a machine that has no other: it shows where a program mixes devices.

An `ElsewhereTensor` says that it is not on the CPU and refuses `numpy()`; its values are in a CPU tensor, with which
everything is computed. As on a GPU an operation refuses operands of two devices, but for numbers (tensors of no
dimension), indices and copies. What it cannot show are the kernels of a GPU: their numbers, limits and speed.

PyTorch cannot differentiate tensors that say "cuda" where it is built without CUDA; "meta" is the device that it knows
everywhere, and whose backward runs in the same thread.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
ELSEWHERE = torch.device("meta")
# Operators whose operands may be on two devices: copies, and indexing by indices that are on the CPU.
MIXING = {
    aten.copy_.default,
    aten._to_copy.default,
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
}
_tensor, _autocast = torch.tensor, torch.autocast


class ElsewhereTensor(Tensor):
    """A CPU tensor, `held`, that says it is elsewhere."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def __new__(cls, held: Tensor) -> "ElsewhereTensor":
        """Tensor of the shape, layout and type of `held`."""
        made: ElsewhereTensor = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=ELSEWHERE,
        )
        made.held = held
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        """Values, and that they are elsewhere."""
        del tensor_contents
        return f"elsewhere {self.held!r}"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Compute on the CPU."""
        del types
        return _compute(func, args, dict(kwargs or {}))


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Also sees operators without tensors among their arguments, which make some."""

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        del types
        return _compute(func, args, dict(kwargs or {}))


def _compute(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tensors: list[Tensor] = []
    _mapped(tensors.append, (args, kwargs))
    asked = kwargs.get("device")
    asked_away = asked is not None and torch.device(asked).type == ELSEWHERE.type
    goes_away = asked_away or any(isinstance(tensor, ElsewhereTensor) for tensor in tensors)
    if not goes_away:
        return operator(*args, **kwargs)
    here = [tensor for tensor in tensors if not isinstance(tensor, ElsewhereTensor) and tensor.ndim]
    if here and operator not in MIXING:
        raise RuntimeError(f"{operator}: operands elsewhere, and one of {tuple(here[0].shape)} on the CPU")
    if operator is aten.copy_.default:
        goes_away = isinstance(args[0], ElsewhereTensor)
    elif asked is not None:
        goes_away = asked_away
        kwargs = kwargs | {"device": torch.device("cpu")}
    held_args, held_kwargs = to_cpu((args, kwargs))
    given = {id(to_cpu(tensor)): tensor for tensor in tensors}  # an operator in place returns what it was given

    def out(tensor: Tensor) -> Tensor:
        return given.get(id(tensor), ElsewhereTensor(tensor) if goes_away else tensor)

    return _mapped(out, operator(*held_args, **held_kwargs))


def to_cpu(value: Any) -> Any:
    """`value` with the CPU tensors that its tensors hold, in nested containers too; they are not copied."""
    return _mapped(lambda tensor: tensor.held if isinstance(tensor, ElsewhereTensor) else tensor, value)


def _mapped(function: Callable[[Tensor], Any], value: Any) -> Any:
    """`value` with the function's results in place of its tensors; PyTorch's own `tree_map` is several times slower."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, list | tuple):
        return type(value)([_mapped(function, part) for part in value])
    if isinstance(value, dict):
        return {name: _mapped(function, part) for name, part in value.items()}
    return value


class _Generator(torch.Generator):
    """One of the CPU, wherever it is asked for."""

    def __new__(cls, device: Any = "cpu") -> "_Generator":
        return super().__new__(cls, "cpu" if torch.device(device) == ELSEWHERE else device)  # type: ignore[call-arg]


def _make_tensor(data: Any, *, device: Any = None, **settings: Any) -> Tensor:
    made = _tensor(data, **settings)  # PyTorch leaves the values of a tensor that it makes on "meta" out
    return made if device is None else made.to(device)


def _make_autocast(device: str, *settings: Any, **named: Any) -> AbstractContextManager[Any]:
    return nullcontext() if device == ELSEWHERE.type else _autocast(device, *settings, **named)


def _make_inference_mode(mode: bool) -> AbstractContextManager[Any]:
    return torch.no_grad() if mode else nullcontext()  # wrapped tensors know no inference mode


@contextmanager
def elsewhere() -> Iterator[torch.device]:
    """Let the device that is yielded be one that tensors can be made on; its precision is always float32."""
    with (
        mock.patch.object(torch._C, "_InferenceMode", _make_inference_mode),
        mock.patch.object(torch, "Generator", _Generator),
        mock.patch.object(torch, "tensor", _make_tensor),
        mock.patch.object(torch, "autocast", _make_autocast),
        _Mode(),  # type: ignore[no-untyped-call]
    ):
        yield ELSEWHERE
