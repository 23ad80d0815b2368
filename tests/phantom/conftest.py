"""One coarse pair of cohorts for all tests of the phantom."""

from pathlib import Path

import pytest

from pedseg.phantom.cohort import CohortSettings, make_cohort

CASES = 60
SPACING = 8.0


@pytest.fixture(scope="session")
def settings() -> dict[str, CohortSettings]:
    return {cohort: CohortSettings(cohort, SPACING, seed=3) for cohort in ("adult", "ped")}


@pytest.fixture(scope="session")
def cohorts(settings: dict[str, CohortSettings], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two cohorts")
    for cohort, setting in settings.items():
        assert len(list(make_cohort(folder / cohort, setting, cases=CASES))) == CASES
    return folder
