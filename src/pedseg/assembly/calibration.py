"""Calibration of a trained run on images of its target."""

import logging

import torch
from rich.progress import track

from pedseg.assembly.processes import Processes
from pedseg.data.selection import Selection
from pedseg.data.store import CohortStore
from pedseg.inference import Predictor, settings_of_run
from pedseg.inference.calibration import PartThresholds, write_thresholds
from pedseg.runs import RunFolder, VariantFolder
from pedseg.settings.run import RunSettings
from pedseg.settings.variants import Variant

log = logging.getLogger(__name__)


def calibrate(
    settings: RunSettings, variant: Variant, place: VariantFolder, selection: Selection, processes: Processes
) -> None:
    """Write the thresholds of a variant, unless they are there.

    Every process predicts its share of the training images of the target as the variant predicts, with its test-time
    adaptation if it has one; no label is opened. Where no tumour is found in any of them there are none, and the log
    says so.

    Raises:
        PedsegError: an image is not in the store or damaged, or the checkpoint cannot be used.
    """
    if place.thresholds.exists():
        return
    cohorts = variant.calibration_target(settings.data.target)
    how = settings_of_run(settings, variant, processes.device, as_begun=True)
    checkpoint = RunFolder(place.run).checkpoint
    predictor = Predictor([checkpoint], device=processes.device, settings=how, thresholds=[None])
    parts = PartThresholds({str(region): part for region, part in variant.shares.items()})
    stores = {cohort: CohortStore(settings.data.store / cohort) for cohort in cohorts}
    cases = [stores[cohort].open(case_id) for cohort in cohorts for case_id in selection.target_train[cohort]]
    for case in track(processes.share(cases), description="calibrating", disable=not processes.first):
        image, brain = map(torch.from_numpy, case.read_image((0, 0, 0), case.shape))
        with predictor.following(image, brain[0]) as logits:
            parts.count(logits)
    for total in (parts.totals, parts.cases):
        processes.add_up(total)
    if processes.first:
        write_thresholds(place.thresholds, parts, images=len(cases))
        log.info("%s: %s", place.name, describe(parts, images=len(cases)))
    processes.wait("calibrated")


def describe(parts: PartThresholds, *, images: int) -> str:
    """What a calibration has found, in a line."""
    if not parts.cases.item():
        return f"no tumour was found in {images} images; the network is predicted as it is"
    return f"calibration on {images} images: {'; '.join(parts.summary())}"
