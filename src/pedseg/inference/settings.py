"""How cases are predicted, and on what."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from pedseg.errors import PedsegError
from pedseg.hardware import Precision, fast_precision

if TYPE_CHECKING:  # settings are checked before torch is loaded
    import torch

    from pedseg.settings.run import RunSettings
    from pedseg.settings.variants import Variant

RECORD = "predictions.json"  # beside label maps: what made them


@dataclass(frozen=True, slots=True)
class Settings:
    """How windows are laid over a case, and whether the networks adapt to it first.

    Attributes:
        step: distance of neighbouring windows as a part of the patch.
        mirror: average over the eight mirrorings (nnU-Net's test-time augmentation); fewer for an imported network
            that was not trained to be mirrored along every axis.
        precision: "32", or "bf16" or "16" for autocast to bfloat16 or float16.
        window_batch: windows, each mirroring counted, per forward pass.
        adapt_steps: gradient steps of test-time adaptation (`pedseg.inference.tent`) on each case; 0: none.
        adapt_rate: their learning rate.
        background: value at or below which voxels are background; None: those that are 0.

    Raises:
        PedsegError: a value cannot be used.
    """

    step: float = 0.5
    mirror: bool = True
    precision: Precision = "32"
    window_batch: int = 1
    adapt_steps: int = 0
    adapt_rate: float = 1e-3
    background: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.step <= 1:
            raise PedsegError(f"step {self.step} must be a part of the patch above 0; give 0.5, or at most 1")
        if self.precision not in get_args(Precision):
            raise PedsegError(f"precision {self.precision!r} is unknown; use {', '.join(get_args(Precision))}")
        if self.window_batch < 1:
            raise PedsegError(f"window_batch {self.window_batch} must be at least 1 window; give 1")
        if self.adapt_steps < 0:
            raise PedsegError(f"adapt_steps {self.adapt_steps} must be 0 (no adaptation) or more; give such a number")
        if not 0 < self.adapt_rate < math.inf:
            raise PedsegError(f"adapt_rate {self.adapt_rate} must be above 0, such as 0.001")
        if self.background is not None and not math.isfinite(self.background):
            raise PedsegError(f"background {self.background} must be a number, such as 7")

    @property
    def windows(self) -> dict[str, Any]:
        """Those that `sliding_window_logits` takes."""
        return {
            "step": self.step,
            "mirror": self.mirror,
            "precision": self.precision,
            "window_batch": self.window_batch,
        }

    @property
    def deciding(self) -> dict[str, Any]:
        """Those that decide the label maps; without those of the adaptation, and a background, if there is none."""
        adaptation = {"adapt_steps": self.adapt_steps, "adapt_rate": self.adapt_rate}
        background = {} if self.background is None else {"background": self.background}
        return self.windows | (adaptation if self.adapt_steps else {}) | background


def best_device() -> "torch.device":
    """The GPU if there is one, else the CPU."""
    import torch  # noqa: PLC0415

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def settings_of_run(
    run: "RunSettings", how: "Variant", device: "torch.device", *, as_begun: bool = False, cohort: str | None = None
) -> Settings:
    """How a variant of a run predicts on a device.

    Args:
        run: its settings.
        how: those of the variant.
        device: where it predicts now.
        as_begun: in the precision that was decided when the run began, for what belongs to the run itself.
        cohort: whose images it predicts; None: the one that the run evaluates.
    """
    given = run.prediction
    precision = given.precision
    if precision == "auto" and as_begun and run.machine is not None:
        precision = run.machine.prediction
    return Settings(
        step=given.step if how.step is None else how.step,
        mirror=given.mirror if how.mirror is None else how.mirror,
        precision=fast_precision(device).precision if precision == "auto" else precision,
        window_batch=given.window_batch,
        adapt_steps=how.adapt_steps,
        adapt_rate=how.adapt_rate,
        background=run.data.cohorts[cohort or run.data.evaluation].background,
    )
