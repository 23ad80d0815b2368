"""Thresholds of a variant from labels of a few training cases: what a calibration without labels is compared with."""

import logging

import torch

from pedseg.assembly.objects import select
from pedseg.assembly.processes import Processes
from pedseg.data.selection import choose_few
from pedseg.data.store import CohortStore, StoredCase
from pedseg.files import write_json
from pedseg.inference import Predictor, settings_of_run
from pedseg.inference.best_thresholds import BestThresholds
from pedseg.labels import Region
from pedseg.runs import RunFolder, VariantFolder
from pedseg.settings.run import RunSettings
from pedseg.settings.variants import Variant

log = logging.getLogger(__name__)


def fit_thresholds(settings: RunSettings, variant: Variant, place: VariantFolder, processes: Processes) -> None:
    """Write the thresholds of a variant, unless they are there. The first process predicts the few cases alone.

    Raises:
        PedsegError: there are not so many training cases, one has no label or is damaged, or the checkpoint cannot be
            used.
    """
    if processes.first and not place.thresholds.exists():
        how = settings_of_run(settings, variant, processes.device, as_begun=True)
        checkpoint = RunFolder(place.run).checkpoint
        predictor = Predictor([checkpoint], device=processes.device, settings=how, thresholds=[None])
        best, cases = BestThresholds(), few_cases(settings, variant)
        for case in cases:
            image, brain = map(torch.from_numpy, case.read_image((0, 0, 0), case.shape))
            masks = case.read_label((0, 0, 0), case.shape, ignored=case.ignores)
            label = torch.from_numpy(masks.astype(bool))
            with predictor.following(image, brain[0]) as logits:
                best.count(logits, label)
        found = dict(zip(map(str, Region), best.thresholds(), strict=True))
        record = {"cases": [case.id for case in cases], "dice": best.dice()}
        write_json(place.thresholds, {"thresholds": found, "labels": record})
        log.info("%s: thresholds %s by labels of %d cases", place.name, found, len(cases))
    processes.wait("thresholds by labels")


def few_cases(settings: RunSettings, variant: Variant) -> list[StoredCase]:
    """The labelled training cases that a variant reads; none, as a rule.

    Raises:
        PedsegError: there are not so many, or a cohort is not prepared.
    """
    if not variant.few:
        return []
    training = select(settings, source=dict.fromkeys(variant.few, "fold"), target=()).source_train
    stores = {cohort: CohortStore(settings.data.store / cohort) for cohort in variant.few}
    return [
        stores[cohort].open(case)
        for cohort, number in variant.few.items()
        for case in choose_few(training[cohort], number, cohort=cohort, draw=variant.draw)
    ]
