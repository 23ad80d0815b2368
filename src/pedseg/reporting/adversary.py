"""What the training curves of an adapting run say about its adversary."""

import math
from dataclasses import dataclass

from pedseg.files import read_json
from pedseg.health import Epoch, Finding, diagnose, epoch_of
from pedseg.reporting.training_log import read_curves
from pedseg.runs import RunFolder


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
    if not run.metrics.exists() or not run.metrics.stat().st_size:
        return None
    curves = read_curves(run)
    rows = zip(curves.index, curves.to_dict("records"), strict=True)
    epochs = [epoch_of(int(number), {str(name): float(row[name]) for name in row}) for number, row in rows]
    if all(math.isnan(epoch.loss_domain) for epoch in epochs):
        return None
    config = read_json(run.config) if run.config.exists() else {}
    settings = config.get("adaptation") or {}
    seen = max((epoch.alpha for epoch in epochs if not math.isnan(epoch.alpha)), default=0.0)
    findings = diagnose(epochs, alpha_max=float(settings.get("alpha_max", seen)))
    weight = settings.get("lambda_domain")
    return Watched(run.path.resolve().name, tuple(epochs), None if weight is None else float(weight), tuple(findings))
