"""What the training curves of an adapting run say about its adversary."""

import math
from dataclasses import dataclass

from pedseg.health import Epoch, Finding, adversary_in, diagnose, epoch_of
from pedseg.reporting.training_log import read_curves
from pedseg.runs import RunFolder
from pedseg.settings.stored import read_settings


@dataclass(frozen=True, slots=True)
class Watched:
    """An adapting run.

    Attributes:
        name: of its folder, such as ``fold_0``.
        epochs: what each told.
        weight: λ of the domain loss; None if the run does not say.
        findings: warnings, the same that the run's own log has.
    """

    name: str
    epochs: tuple[Epoch, ...]
    weight: float | None
    findings: tuple[Finding, ...]


def watch(run: RunFolder) -> Watched | None:
    """Read and judge the curves of a run; None if it has none, or no adversary.

    Raises:
        PedsegError: metrics.csv cannot be read.
    """
    if not run.metrics.exists():
        return None
    curves = read_curves(run)
    rows = zip(curves.index, curves.to_dict("records"), strict=True)
    epochs = [epoch_of(int(number) - 1, {str(name): float(row[name]) for name in row}) for number, row in rows]
    if all(math.isnan(epoch.loss_domain) for epoch in epochs):
        return None
    adversary = adversary_in(read_settings(run.path).adaptation.root) if run.config.exists() else None
    seen = max((epoch.alpha for epoch in epochs if not math.isnan(epoch.alpha)), default=0.0)
    findings = (
        diagnose(epochs, alpha_max=adversary.alpha_max, key=adversary.key)
        if adversary
        else diagnose(epochs, alpha_max=seen)
    )
    weight = adversary.lambda_domain if adversary else None
    return Watched(run.path.resolve().name, tuple(epochs), weight, tuple(findings))
