"""Whether a run would train on labels of cases that it adapts to or is scored on."""

import logging
from collections.abc import Iterable, Mapping

from pedseg.data.selection import Selection
from pedseg.data.sharing import leaks
from pedseg.data.store import CohortStore
from pedseg.errors import ProblemsError
from pedseg.settings.run import RunSettings

log = logging.getLogger(__name__)


def check_leaks(settings: RunSettings, selection: Selection) -> None:
    """Refuse a run of whose labelled cohorts a case is in another cohort, which it adapts to or evaluates.

    Cases are compared by what preparation has kept of their images, and by patient, as the folds know them.

    Args:
        settings: of the run.
        selection: its cases, and whose they are.

    Raises:
        ProblemsError: some are; a row for each.
        PedsegError: a cohort is not prepared.
    """
    data = settings.data
    judged = sorted({*data.target, *settings.calibration_target, data.evaluation})
    labelled = sorted({*data.labelled_source, *settings.few_labelled})
    stores = {cohort: CohortStore(data.store / cohort) for cohort in sorted({*labelled, *judged})}
    if len(stores) > 1:
        for cohort, store in stores.items():
            if not store.knows_copies:
                log.warning(
                    "%s was prepared by an older version, so copies of its cases in other cohorts cannot be told; run "
                    "`pedseg prepare` again, which reads the images and prepares nothing anew", cohort,
                )  # fmt: skip
    _say_axes(stores, data.labelled_source, judged)
    known = {
        cohort: [case.of(selection.patients.get(cohort, {})) for case in store.identities]
        for cohort, store in stores.items()
    }
    found = [problem for _, problem in leaks(known, sources=labelled, targets=judged)]
    if found:
        cases = len({problem.case for problem in found})
        raise ProblemsError(
            f"{cases} cases that would train with their labels are in another cohort of the run:", found
        )


def _say_axes(stores: Mapping[str, CohortStore], sources: Iterable[str], judged: Iterable[str]) -> None:
    """Say which cohorts are stored in other axes than all that train with labels: networks do not turn images."""
    trained = frozenset().union(*(stores[cohort].axes for cohort in sources))
    for cohort in judged:
        other = stores[cohort].axes - trained
        if other and trained:
            log.warning(
                "%s has cases stored along %s, and labelled training cases are stored along %s: the network meets them "
                "turned; store them alike", cohort, ", ".join(sorted(other)), ", ".join(sorted(trained)),
            )  # fmt: skip
