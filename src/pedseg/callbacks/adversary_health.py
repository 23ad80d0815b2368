"""Watches the adversary of an adapting run, and says early what goes wrong and which setting to change."""

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, astuple, fields
from typing import Annotated, Any

import lightning.pytorch as pl
from pydantic import Field

from pedseg.adaptation import DomainAdversary
from pedseg.health import Epoch, Thresholds, epoch_of, judge
from pedseg.settings.record import Line, Record, Sequenced
from pedseg.tracking import trackers

log = logging.getLogger(__name__)


Mean = int | Annotated[float, Field(allow_inf_nan=True)]
Means = Annotated[tuple[Mean, ...], Sequenced, Field(min_length=len(fields(Epoch)), max_length=len(fields(Epoch)))]


class Seen(Record):
    """What a checkpoint says of the epochs before it."""

    epochs: Annotated[tuple[Means, ...], Sequenced]
    said: Annotated[tuple[Line, ...], Sequenced]


class AdversaryHealth(pl.Callback):
    """Judge every epoch by the rules of `pedseg.health`; a run without `DomainAdversary` is left alone.

    Each warning is written once in a run, by rank 0; what was said and seen is in the checkpoint, so that a resumed
    run neither repeats nor forgets. Logged per epoch: ``train/lambda_loss_domain`` (λ·L_d) and, while anything is
    reversed, ``train/gradient_ratio`` (`gradient_domain` / `gradient_seg`). Trackers are told of both.

    Args:
        limits: thresholds of the rules.
        panel_every: epochs between two drawings of a tracker's chart; it is also drawn after the last epoch.
    """

    def __init__(self, *, limits: Thresholds | None = None, panel_every: int = 10) -> None:
        self.limits = limits or Thresholds()
        self.panel_every = panel_every
        self.epochs: list[Epoch] = []
        self.said: list[str] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Judge the epoch."""
        method, adversary = _adversary(pl_module)
        if adversary is None:
            return
        means = {name: float(value) for name, value in trainer.callback_metrics.items()}
        now = epoch_of(trainer.current_epoch, means)
        self.epochs.append(now)
        weighted = float(adversary.lambda_domain) * now.loss_domain
        for name, value in (("lambda_loss_domain", weighted), ("gradient_ratio", now.gradient_ratio)):
            if math.isfinite(value):
                pl_module.log(f"train/{name}", value)
        if trainer.is_global_zero:
            self._show(trainer, weighted)
        self._speak(trainer, alpha_max=adversary.alpha_schedule(1.0), key=f"adaptation.{method}")

    def state_dict(self) -> dict[str, Any]:
        """What was seen and said, as plain Python."""
        return {"epochs": [list(astuple(epoch)) for epoch in self.epochs], "said": list(self.said)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint.

        Raises:
            PedsegError: what it says of epochs is no such thing.
        """
        seen = Seen.of(state_dict, where="the checkpoint's AdversaryHealth", fix="train the run anew: overwrite=true")
        self.epochs = [_epoch(values) for values in seen.epochs]
        self.said = list(seen.said)

    def _speak(self, trainer: pl.Trainer, *, alpha_max: float, key: str) -> None:
        for finding in judge(self.epochs, alpha_max=alpha_max, key=key, limits=self.limits):
            if finding.rule not in self.said:
                self.said.append(finding.rule)
                if trainer.is_global_zero:
                    log.warning("adversary, epoch %d: %s: %s", finding.epoch + 1, finding.rule, finding.text)
                for tracker in trackers(trainer.loggers):
                    tracker.warn(finding.rule, f"epoch {finding.epoch + 1}: {finding.text}")

    def _show(self, trainer: pl.Trainer, weighted: float) -> None:
        """Send the epoch to the trackers."""
        done = trainer.current_epoch + 1
        now = self.epochs[-1]
        values = asdict(now) | {"lambda_loss_domain": weighted, "gradient_ratio": now.gradient_ratio}
        draw = done % self.panel_every == 0 or done == trainer.max_epochs
        for tracker in trackers(trainer.loggers):
            tracker.adversary(values, step=trainer.global_step, history=self.epochs if draw else ())


def _epoch(values: Sequence[float]) -> Epoch:
    number, *means = values
    return Epoch(int(number), *means)


def _adversary(module: pl.LightningModule) -> tuple[str, DomainAdversary | None]:
    """The first adversary among the methods of a module, and its name."""
    methods = getattr(module, "methods", {})
    return next(((name, part) for name, part in methods.items() if isinstance(part, DomainAdversary)), ("", None))
