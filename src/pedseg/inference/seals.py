"""The seal of a checkpoint: a digest of everything in it but the numbers of its tensors, which have checksums.

What was edited or put together from parts is told from what a training wrote. It keeps nobody out: who rewrites a file
on purpose can seal it, too, so that all that is read is also checked for what it may be.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from pedseg.errors import PedsegError

SEAL = "sha256"  # key of the digest


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a checkpoint with its digest."""
    return {**content, SEAL: _digest(content)}


def check_seal(content: Mapping[str, Any], *, where: Path) -> None:
    """Whether a checkpoint is as it was written; those of older versions have no seal.

    Raises:
        PedsegError: it is not.
    """
    if SEAL in content and content[SEAL] != _digest(content):
        raise PedsegError(
            f"{where}: was edited, or put together from parts (its SHA-256 is another); copy it again, or train anew"
        )


def _digest(content: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for part in _parts({key: value for key, value in content.items() if key != SEAL}):
        digest.update(part.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _parts(value: object) -> Iterator[str]:
    """A tree in text; tuples and lists are the same, and a tensor is its kind and its shape."""
    if isinstance(value, Tensor):
        yield f"tensor {value.dtype} {tuple(value.shape)};"
    elif isinstance(value, Mapping):
        yield "{"
        for key, inner in value.items():
            yield f"{key!r}:"
            yield from _parts(inner)
        yield "}"
    elif isinstance(value, list | tuple):
        yield "["
        for inner in value:
            yield from _parts(inner)
        yield "]"
    else:
        yield f"{value!r};"
