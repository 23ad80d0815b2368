"""Networks of runs, used as a variant of the run uses them."""

from collections.abc import Sequence

import torch

from pedseg.calibration.per_case import Thresholds
from pedseg.calibration.record import read_thresholds
from pedseg.inference.predictor import Predictor
from pedseg.inference.settings import Settings
from pedseg.runs import RunFolder, VariantFolder


def thresholds_of(place: VariantFolder) -> Thresholds | None:
    """Thresholds of a variant; None if it has none, or a run of before variants has them in its checkpoint."""
    return read_thresholds(place.thresholds) if place.thresholds.exists() else None


def variant_predictor(places: Sequence[VariantFolder], *, device: torch.device, settings: Settings) -> Predictor:
    """The network of a run, or those of several as an ensemble, with the thresholds of a variant.

    Args:
        places: of the variant in each run.
        device: where the networks run.
        settings: how windows are laid and whether the networks adapt, see `settings_of_run`.

    Raises:
        PedsegError: a checkpoint or thresholds cannot be used.
    """
    checkpoints = [RunFolder(place.run).checkpoint for place in places]
    in_checkpoints = any(place.top != place.path for place in places)  # a run of before variants
    thresholds = None if in_checkpoints else [thresholds_of(place) for place in places]
    return Predictor(checkpoints, device=device, settings=settings, thresholds=thresholds)
