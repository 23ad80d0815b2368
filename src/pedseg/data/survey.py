"""All cohorts of a configuration: found, checked each by itself, and compared with each other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pedseg.cases import Patients, find_cases
from pedseg.data.checking import CohortCheck, check_cohort, convention_findings
from pedseg.data.claiming import check_output
from pedseg.data.cohort_settings import CohortSettings
from pedseg.data.sharing import without_leaks
from pedseg.errors import PedsegError, Problem
from pedseg.labels import get_convention
from pedseg.settings.cohorts import AUTO, Cohort
from pedseg.settings.pair import where_to_say
from pedseg.settings.run import PrepareSettings


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A cohort that has been checked.

    Attributes:
        folder: of its cases.
        settings: what decides its prepared arrays.
        check: what was found.
    """

    folder: Path
    settings: CohortSettings
    check: CohortCheck

    @property
    def cohort(self) -> str:
        """Its name."""
        return self.settings.cohort

    def convention_findings(self) -> list[Problem]:
        """What its labels together tell of their convention."""
        return convention_findings(self.settings, self.check.evidence)


def survey(settings: PrepareSettings, *, workers: int, prepares: bool = False) -> list[Surveyed]:
    """Check every cohort of the settings, by itself and against the others. Nothing is written.

    Args:
        settings: of the preparation.
        workers: most processes.
        prepares: whether the cohorts are going to be prepared, so that their stores are looked at first.

    Raises:
        PedsegError: a folder is not told or holds no case, or what is said of patients cannot be used.
    """
    found = [
        _checked(name, cohort, settings, workers=workers, prepares=prepares)
        for name, cohort in settings.data.cohorts.items()
    ]
    return _compared(found, target=settings.data.pair.target, patients=Patients.read(settings.folds.patients))


def _checked(name: str, cohort: Cohort, settings: PrepareSettings, *, workers: int, prepares: bool) -> Surveyed:
    if cohort.folder is None:
        raise PedsegError(where_to_say(name))
    found = find_cases(cohort.folder, cohort=name, labelled=cohort.labelled)
    found.check_sequences(cohort.folder, cohort=name)
    told = cohort.convention == AUTO or not cohort.labelled
    how = CohortSettings(
        cohort=name,
        labelled=cohort.labelled,
        convention=None if told else get_convention(cohort.convention),
        spacing_mm=settings.data.spacing_mm,
        background=cohort.background,
        ignored=found.ignored,
    )
    store = settings.data.store / name
    if prepares:
        check_output(store, found.cases, how)
    return Surveyed(cohort.folder, how, check_cohort(found, how, store=store, workers=workers))


def _compared(found: Sequence[Surveyed], *, target: str | None, patients: Patients) -> list[Surveyed]:
    """The same with what comparing the cohorts with each other has shown."""
    checks = {one.cohort: one.check for one in found}
    said = patients.of({cohort: check.checks for cohort, check in checks.items()}) if patients.source else {}
    labelled = [one.cohort for one in found if one.settings.labelled]
    compared = without_leaks(checks, labelled=labelled, target=target, patients=said)
    return [replace(one, check=compared[one.cohort]) for one in found]
