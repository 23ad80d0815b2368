"""Calibration of a trained run on images of its target."""

import logging
from collections.abc import Iterator, Mapping, Sequence

import torch
from rich.progress import track
from torch import Tensor

from pedseg.assembly.cases import check_held_out
from pedseg.assembly.processes import Processes
from pedseg.calibration.calibration import Calibration
from pedseg.calibration.record import summary, write_thresholds
from pedseg.calibration.sensitivity import write_curve
from pedseg.data.selection import Selection
from pedseg.data.store import CohortStore, StoredCase
from pedseg.inference import Predictor, settings_of_run
from pedseg.runs import RunFolder, VariantFolder
from pedseg.settings.run import RunSettings
from pedseg.settings.variants import Variant

log = logging.getLogger(__name__)


def calibrate(
    settings: RunSettings, variant: Variant, place: VariantFolder, selection: Selection, processes: Processes
) -> None:
    """Write the thresholds of a variant, unless they are there.

    Every process predicts its share of the training images of the target as the variant predicts, with its test-time
    adaptation if it has one; no label of the target is opened. A rule that needs to know how the network's logits go
    with the truth gets it from the source cases that the run holds out. Where no tumour is found in any image of the
    target there are no thresholds, and the log says so.

    Raises:
        PedsegError: an image is not in the store or damaged, the checkpoint cannot be used, or the rule finds nothing
            to go by in the source.
    """
    if place.thresholds.exists():
        return
    how = settings_of_run(settings, variant, processes.device, as_begun=True)
    checkpoint = RunFolder(place.run).checkpoint
    predictor = Predictor([checkpoint], device=processes.device, settings=how, thresholds=[None])
    cohorts = variant.calibration_target(settings.data.target)
    target = stored(settings, {cohort: selection.target_train[cohort] for cohort in cohorts})
    source = held_out(settings, variant, RunFolder(place.run), selection)
    calibration = Calibration(variant, images=len(target), source=len(source))
    count_source(predictor, source, calibration, processes)
    for index, _, logits in _predicted(predictor, target, processes, "calibrating"):
        calibration.target.count(index, logits)
    for total in calibration.totals:
        processes.add_up(total)
    if processes.first:
        write_curve(place.sensitivity, calibration)
        write_thresholds(place.thresholds, calibration)
        log.info("%s: %s", place.name, describe(calibration))
    processes.wait("calibrated")


def count_source(
    predictor: Predictor, cases: Sequence[StoredCase], calibration: Calibration, processes: Processes | None = None
) -> None:
    """Count this process's share of labelled cases of a store."""
    processes = processes or Processes(predictor.device)
    for index, case, logits in _predicted(predictor, cases, processes, "calibrating on the source"):
        masks = case.read_label((0, 0, 0), case.shape, ignored=case.ignores)
        calibration.source.count(index, logits, torch.from_numpy(masks.astype(bool)))


def held_out(settings: RunSettings, variant: Variant, run: RunFolder, selection: Selection) -> list[StoredCase]:
    """Labelled source cases that a run was not trained on; none where the variant needs none.

    Raises:
        PedsegError: it needs some, and there is none.
    """
    if not variant.needs_source:
        return []
    cohorts = check_held_out(settings, run, to=f"calibrate by {variant.calibration} with")
    return stored(settings, {cohort: selection.source_validation[cohort] for cohort in cohorts})


def stored(settings: RunSettings, cases: Mapping[str, Sequence[str]]) -> list[StoredCase]:
    """Prepared cases by cohort."""
    stores = {cohort: CohortStore(settings.data.store / cohort) for cohort in cases}
    return [stores[cohort].open(case_id) for cohort, ids in cases.items() for case_id in ids]


def _predicted(
    predictor: Predictor, cases: Sequence[StoredCase], processes: Processes, what: str
) -> Iterator[tuple[int, StoredCase, Tensor]]:
    """Index, case and logits (regions, d, h, w) of this process's share of prepared cases."""
    share = processes.share(list(enumerate(cases)))
    for index, case in track(share, description=what, disable=not processes.first or not cases):
        image, brain = map(torch.from_numpy, case.read_image((0, 0, 0), case.shape))
        with predictor.following(image, brain[0]) as logits:
            yield index, case, logits


def describe(calibration: Calibration) -> str:
    """What a calibration has found, in a line."""
    if not calibration.cases:
        return f"no tumour was found in {calibration.images} images; the network is predicted as it is"
    return f"calibration on {calibration.images} images: {'; '.join(summary(calibration))}"
