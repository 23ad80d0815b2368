"""Cases with logits of known distribution, of a part that has a share of its own in each."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pedseg.calibration.calibration import Calibration
from pedseg.settings.variants import Variant

VOXELS = 400
SLOPE, OFFSET = 0.5, 0.3  # log odds of the source are SLOPE · logit + OFFSET at a share of one half


def case(share: float, seed: int, *, voxels: int = VOXELS, apart: float = 4.0) -> tuple[Tensor, Tensor]:
    """Logits (regions, voxels, 1, 1) of a case, all of it WT, and its region masks.

    Evidence x is normal about ±`apart` / 2 with variance `apart`, so that its log ratio is x itself. The logit of TC is
    (x - OFFSET) / SLOPE, which has to be found out; that of ET the same, with the same truth.
    """
    generator = torch.Generator().manual_seed(seed)
    truth = torch.arange(voxels) < round(share * voxels)
    x = torch.where(truth, apart / 2, -apart / 2) + apart**0.5 * torch.randn(voxels, generator=generator)
    part = (x - OFFSET) / SLOPE
    logits = torch.stack([torch.ones(voxels), part, part])[..., None, None]
    return logits, torch.stack([torch.ones_like(truth), truth, truth])[..., None, None]


def empty(how: Mapping[str, object], *, source: int, target: int) -> Calibration:
    """A calibration by a rule, of so many cases that are not counted yet."""
    return Calibration(Variant.model_validate({"target": ["ped"], **how}), images=target, source=source)


def calibrated(
    how: Mapping[str, object], source: Sequence[float], target: Sequence[float], **population: float
) -> Calibration:
    """A calibration on cases with these shares of the part."""
    calibration = empty(how, source=len(source), target=len(target))
    for index, share in enumerate(source):
        calibration.source.count(index, *case(share, index, **population))  # type: ignore[arg-type]
    for index, share in enumerate(target):
        calibration.target.count(index, case(share, 1000 + index, **population)[0])  # type: ignore[arg-type]
    return calibration


def share_above(calibration: Calibration, logits: Sequence[Tensor]) -> list[float]:
    """Share of WT that TC has in each case, cut by a calibration."""
    found = calibration.thresholds()
    assert found is not None
    cuts = [found[1] if isinstance(found, Sequence) else found.thresholds(one)[1] for one in logits]
    return [float((one[1] > cut).float().mean()) for one, cut in zip(logits, cuts, strict=True)]
