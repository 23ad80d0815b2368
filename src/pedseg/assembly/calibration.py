"""Calibration of a trained run on images of its target."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from rich.progress import track

from pedseg.data.selection import Selection
from pedseg.data.store import CohortStore
from pedseg.errors import PedsegError
from pedseg.inference import Predictor, settings_of_run
from pedseg.inference.calibration import PartThresholds, thresholds_of, write_thresholds
from pedseg.labels import Region
from pedseg.runs import RunFolder

log = logging.getLogger(__name__)


def calibration_target(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Cohorts that a run is calibrated on; none if it is not.

    Raises:
        PedsegError: there are ratios to reach and no cohort to reach them on, or a ratio cannot be used.
    """
    settings = config.get("calibration") or {}
    if not settings.get("ratios"):
        return ()
    PartThresholds(settings["ratios"])
    target = settings["target"] or config["data"]["target"]
    if not target:
        raise PedsegError("calibration needs images of an unlabelled cohort: calibration.target=[ped]")
    return tuple(target)


def calibrate(config: Mapping[str, Any], folder: RunFolder, selection: Selection, trainer: Trainer) -> None:
    """Write thresholds into the last checkpoint of a run, unless it has them or is not calibrated.

    Every process predicts its share of the training images of the target as the run predicts, with its test-time
    adaptation if it has one; no label is opened. A network that finds no tumour in any of them stays as it is, and the
    log says so.

    Logged once are ``calibration/found_<region>``, the part of WT that the network found by itself, and
    ``calibration/threshold_<region>``, in logits.

    Raises:
        PedsegError: an image is not in the store or damaged, or the checkpoint cannot be used.
    """
    cohorts = calibration_target(config)
    if not cohorts or thresholds_of(folder.checkpoint) is not None:
        return
    device = trainer.strategy.root_device
    predictor = Predictor([folder.checkpoint], device=device, settings=settings_of_run(config, device, as_begun=True))
    parts = PartThresholds(config["calibration"]["ratios"])
    stores = {cohort: CohortStore(Path(config["data"]["store"]) / cohort) for cohort in cohorts}
    cases = [stores[cohort].open(case_id) for cohort in cohorts for case_id in selection.target_train[cohort]]
    share = cases[trainer.global_rank :: trainer.world_size]
    for case in track(share, description="calibrating", disable=not trainer.is_global_zero):
        image, brain = map(torch.from_numpy, case.read_image((0, 0, 0), case.shape))
        with predictor.following(image, brain[0]) as logits:
            parts.count(logits)
    if trainer.world_size > 1:
        for total in (parts.totals, parts.cases):
            total.copy_(torch.as_tensor(trainer.strategy.reduce(total.to(device), reduce_op="sum")))
    if trainer.is_global_zero:
        _finish(parts, folder, trainer, images=len(cases))
    trainer.strategy.barrier("calibrated")


def _finish(parts: PartThresholds, folder: RunFolder, trainer: Trainer, *, images: int) -> None:
    """Write and log what has been counted."""
    if not parts.cases.item():
        log.warning("calibration: no tumour was found in %d images; the network stays as it is", images)
        return
    thresholds = dict(zip(Region, parts.thresholds(), strict=True))
    write_thresholds(folder.checkpoint, list(thresholds.values()))
    found = parts.found()
    log.info("calibration on %d images: %s", images, "; ".join(parts.summary()))
    values = {f"calibration/found_{region}": found[region] for region in found}
    values |= {f"calibration/threshold_{region}": thresholds[region] for region in found}
    for logger in trainer.loggers:
        logger.log_metrics({**values, "epoch": trainer.current_epoch - 1}, step=trainer.global_step)
        logger.save()
