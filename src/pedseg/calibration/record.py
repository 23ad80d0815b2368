"""thresholds.json: what a calibration has found, beside the label maps that are made with it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pedseg.calibration.calibration import Calibration, Part
from pedseg.calibration.per_case import PerCase, Thresholds
from pedseg.errors import PedsegError
from pedseg.files import read_json, write_json
from pedseg.labels import Region

MOST = 1000.0  # of a logit, either way


def write_thresholds(path: Path, calibration: Calibration) -> None:
    """Write what has been found.

    ``thresholds`` is a logit for each region, or the rule that gives them for each case, or null where no image has a
    tumour.

    Args:
        path: JSON to write.
        calibration: after every image has been counted.

    Raises:
        PedsegError: the rule cannot be used on what has been counted.
    """
    parts, thresholds = calibration.parts(), calibration.thresholds()
    write_json(
        path,
        {
            "thresholds": None if thresholds is None else _json(thresholds),
            "rule": calibration.how.calibration,
            "shares": {str(part.region): part.share for part in parts} if parts else None,
            "found": {str(part.region): part.found for part in parts} if parts else None,
            "evidence": {str(part.region): part.evidence for part in parts if part.evidence},
            "images": calibration.images,
            "cases": calibration.cases,
        },
    )


def _json(thresholds: Thresholds) -> dict[str, Any]:
    if isinstance(thresholds, PerCase):
        return thresholds.as_json()
    return dict(zip(map(str, Region), thresholds, strict=True))


def _logit(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MOST:
        raise ValueError(f"{value} is no logit")
    return float(value)


def read_thresholds(path: Path) -> Thresholds | None:
    """A logit for each region, or the rule that gives them for each case; None where no image had a tumour.

    Raises:
        PedsegError: the file is absent or damaged.
    """
    content = read_json(path)
    try:
        named = content["thresholds"]
        if named is None:
            return None
        return PerCase.of(named) if "parts" in named else [_logit(named[region]) for region in Region]
    except (KeyError, TypeError, ValueError) as error:
        raise PedsegError(f"{path}: holds no thresholds of pedseg; remove it, and calibrate again") from error


def summary(calibration: Calibration) -> list[str]:
    """What was found and what is cut, a line for each part."""
    return [line for part in calibration.parts() for line in _lines(part, calibration)]


def _lines(part: Part, calibration: Calibration) -> Sequence[str]:
    name, around = part.region.upper(), calibration.around[part.region].upper()
    cut = "by a threshold for each case" if part.rule else f"above logit {part.threshold:.2f}"
    first = f"{name} had {part.found:.2f} of {around}; {cut} it has {part.share:.2f}"
    return [first, *([_estimates(part.evidence)] if part.evidence else [])]


def _estimates(evidence: Mapping[str, Any]) -> str:
    low, high = evidence["interval"]
    decided = "none, the confusion matrix is singular" if evidence["bbse"] is None else f"{evidence['bbse']:.2f}"
    return (
        f"  estimated {evidence['estimated']:.2f} (95 % interval over cases {low:.2f}-{high:.2f}), by decisions alone "
        f"{decided}; in the source {evidence['source']['share']:.2f}"
    )
