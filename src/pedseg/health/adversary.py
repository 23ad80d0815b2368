"""The adversary of a run, told by the run's settings."""

from collections.abc import Mapping
from typing import Any, NamedTuple

KEY = "adaptation.dann"  # of the paper's


class Adversary(NamedTuple):
    """Settings that the rules and pictures need.

    Attributes:
        key: of the method in the settings.
        alpha_max: final strength of the reversal.
        lambda_domain: weight of the domain loss.
    """

    key: str
    alpha_max: float
    lambda_domain: float


def adversary_in(adaptation: Mapping[str, Any]) -> Adversary | None:
    """The first of the chosen methods with an `alpha_max` and a `lambda_domain` of its own; None if it has none."""
    for name, settings in adaptation.items():
        if {"alpha_max", "lambda_domain"} <= settings.keys():
            return Adversary(f"adaptation.{name}", float(settings["alpha_max"]), float(settings["lambda_domain"]))
    return None
