"""TensorBoard events beside a run's folder."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray

from pedseg.errors import PedsegError
from pedseg.tracking.tracker import Tracker


class TensorBoardRun(TensorBoardLogger, Tracker):
    """TensorBoard events in ``<folder>/tensorboard``; a resumed run appends.

    Raises:
        PedsegError: tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        if find_spec("tensorboard") is None:
            raise PedsegError('logger=tensorboard needs tensorboard; install it with pip install "pedseg[tracking]"')
        self.fresh = not (folder / "tensorboard").exists()
        super().__init__(save_dir=folder, name="tensorboard", version="")

    @rank_zero_only
    def results(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        """A point of each value at the last step."""
        del epoch
        self.log_metrics(dict(values), step=step)

    @rank_zero_only
    def picture(self, name: str, image: NDArray[np.uint8], *, caption: str, epoch: int) -> None:
        """An image."""
        del caption
        writer: Any = self.experiment
        writer.add_image(name, image, epoch, dataformats="HWC")

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what there is; the file stays open for what comes after the training."""
        del status
        self.save()

    @rank_zero_only
    def close(self, *, failed: bool) -> None:
        """Close the file."""
        super().finalize("failed" if failed else "success")
