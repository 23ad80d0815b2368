"""What a tracker can be told beside the curves that Lightning logs."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers.logger import Logger
from numpy.typing import NDArray

from pedseg.errors import PedsegError
from pedseg.files import read_text
from pedseg.health import Epoch


def noted_id(note: Path) -> str:
    """The id of a tracker's record that a run goes on with.

    Raises:
        PedsegError: the file holds none.
    """
    key = read_text(note).strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", key):
        raise PedsegError(f"{note}: holds no id of a record; remove it to begin another record")
    return key


@dataclass(frozen=True)
class CaseRow:
    """One case of the table of cases: patient data.

    Attributes:
        case: its id.
        scores: by name; none where it has no label.
        image: a slice (H, W), 8-bit grey.
        masks: region numbers (H, W) of the same slice, by name: the prediction, and the label if there is one.
    """

    case: str
    scores: Mapping[str, float]
    image: NDArray[np.uint8]
    masks: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)


class Tracker(Logger, ABC):
    """A logger that goes on after the training: it hears of scores, warnings, cases and the checkpoint.

    Every method but `results` may do nothing. All are for the first process of a run.

    Attributes:
        fresh: whether it begins a record of its own, and does not go on with one.
        artifact: whether it may be given the checkpoint.
    """

    fresh: bool
    artifact: bool = False

    @abstractmethod
    def results(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        """Show values as the run's last ones, in its summary and at the end of its curves."""

    def adversary(self, values: Mapping[str, float], *, step: int, history: Sequence[Epoch]) -> None:
        """Show the health of the adversary; `history` is empty where no chart is wanted."""

    def warn(self, title: str, text: str) -> None:
        """Draw somebody's attention to a warning."""

    def picture(self, name: str, image: NDArray[np.uint8], *, caption: str, epoch: int) -> None:
        """Show a picture (H, W, 3). Patient data."""

    def cases(self, variant: str, rows: Sequence[CaseRow]) -> None:
        """Show the cases of a variant. Patient data."""

    def checkpoint(self, path: Path, *, name: str, about: Mapping[str, Any], origin: str | None) -> None:
        """Keep the checkpoint as an artifact called `name`, made from that called `origin`."""

    def close(self, *, failed: bool) -> None:
        """End the session; the record can be gone on with."""


def trackers(loggers: Iterable[Logger]) -> list[Tracker]:
    """Those of the loggers that are trackers."""
    return [logger for logger in loggers if isinstance(logger, Tracker)]
