"""Checkpoints that other software wrote, opened without running what they may contain."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
import torch

from pedseg.errors import PedsegError
from pedseg.inference.checkpoint import check_archive

# Numbers of numpy, such as those nnU-Net logs: each is made of a data type and its bytes, by these functions alone.
_SCALAR: Callable[..., Any] = np.float64(0).__reduce__()[0]  # type: ignore[assignment]
NUMBERS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_SCALAR, "numpy._core.multiarray.scalar"),  # numpy 2
    (_SCALAR, "numpy.core.multiarray.scalar"),  # numpy 1
    np.dtype,
    *(type(np.dtype(name)) for name in ("float16", "float32", "float64", "int32", "int64", "uint8", "bool")),
]


def read_foreign_checkpoint(path: Path, *, trust: bool) -> dict[str, Any]:
    """Read a checkpoint onto the CPU: tensors, plain Python and numpy's numbers, with `trust` anything.

    Raises:
        PedsegError: the file is absent or damaged, holds no dictionary, or, without `trust`, holds other objects; the
            message names them. None of their code is run then.
    """
    if not path.is_file():
        raise PedsegError(f"{path}: no such checkpoint; give a result folder of nnU-Net, or a .pth file")
    if is_zipfile(path):  # a file of the time before has no checksums
        check_archive(path)
    try:
        with torch.serialization.safe_globals(NUMBERS):
            content = torch.load(path, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        raise PedsegError(
            f"{path}: holds {_foreign_objects(path)} beside tensors, numbers and plain Python. To open these may run "
            "code that the file brings along, so it was not opened; if you know who made the file, give --trust"
        ) from error
    except Exception as error:  # what an unpickler makes of bytes that nobody has pickled
        raise PedsegError(f"{path}: cannot be read ({error}); copy or download it again") from error
    if not isinstance(content, dict):
        raise PedsegError(f"{path}: is no checkpoint of nnU-Net; give its checkpoint_final.pth")
    return content


def _foreign_objects(path: Path) -> str:
    """Names of what is not allowed; the file is scanned, not executed."""
    try:
        with torch.serialization.safe_globals(NUMBERS):
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # a file of the time before zip
        names = []
    return ", ".join(sorted(names)) or "objects"
