"""Calibration of a trained run on images of its target."""

import logging

import torch
from lightning.pytorch import Trainer
from rich.progress import track

from pedseg.data.selection import Selection
from pedseg.data.store import CohortStore
from pedseg.inference import Predictor, settings_of_run
from pedseg.inference.calibration import PartThresholds, thresholds_of, write_thresholds
from pedseg.labels import Region
from pedseg.runs import RunFolder
from pedseg.settings.run import RunSettings

log = logging.getLogger(__name__)


def calibrate(settings: RunSettings, folder: RunFolder, selection: Selection, trainer: Trainer) -> None:
    """Write thresholds into the last checkpoint of a run, unless it has them or is not calibrated.

    Every process predicts its share of the training images of the target as the run predicts, with its test-time
    adaptation if it has one; no label is opened. A network that finds no tumour in any of them stays as it is, and the
    log says so.

    Logged once are ``calibration/found_<region>``, the part of WT that the network found by itself, and
    ``calibration/threshold_<region>``, in logits.

    Raises:
        PedsegError: an image is not in the store or damaged, or the checkpoint cannot be used.
    """
    cohorts = settings.calibration_target
    if not cohorts or thresholds_of(folder.checkpoint) is not None:
        return
    device = trainer.strategy.root_device
    how = settings_of_run(settings, device, as_begun=True)
    predictor = Predictor([folder.checkpoint], device=device, settings=how)
    parts = PartThresholds({str(region): part for region, part in settings.calibration.ratios.items()})
    stores = {cohort: CohortStore(settings.data.store / cohort) for cohort in cohorts}
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
