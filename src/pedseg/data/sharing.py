"""Cases that are in two cohorts: as source they would bring labels of the target into the training."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from pedseg.data.checking import CohortCheck
from pedseg.errors import Problem, Severity
from pedseg.imaging.copies import Identity, find_shared

Known = Mapping[str, Iterable[Identity]]  # cohort → what its cases are known by


def leaks(cohorts: Known, *, sources: Collection[str], targets: Collection[str]) -> Iterator[tuple[str, Problem]]:
    """Cases of labelled cohorts that are in a target, too, by their images or their patient.

    Args:
        cohorts: every cohort that is named.
        sources: cohorts whose labels train networks.
        targets: cohorts whose labels must not.

    Yields:
        The source cohort, and what is wrong with its case.
    """
    for source, target in ((s, t) for s in sources for t in targets if s != t):
        for case_id, shared, other in find_shared(cohorts[source], cohorts[target]):
            what = (
                f"cohort {source}: has the {shared} of {other} in cohort {target}, so labels of the target would train "
                "the network"
            )
            yield source, Problem(case_id, "", what, _remedy(shared, source))


def _remedy(shared: str, source: str) -> str:
    fix = f"leave it out of {source} (pedseg prepare of both cohorts with skip_bad=true does)"
    return (
        fix if shared == "images" else f"{fix}; or, if they are two people, tell them apart by folds.patients=TABLE.csv"
    )


def without_leaks(
    checks: Mapping[str, CohortCheck],
    *,
    labelled: Collection[str],
    target: str | None,
    patients: Mapping[str, Mapping[str, str]],
) -> dict[str, CohortCheck]:
    """Checked cohorts, with a problem for each source case that is in a target.

    Args:
        checks: by cohort.
        labelled: cohorts with labels.
        target: cohort that runs adapt to, labelled or not; those without labels are targets anyhow.
        patients: cohort → case → patient, where something else than preparation tells it.
    """
    targets = [cohort for cohort in checks if cohort == target or cohort not in labelled]
    sources = [cohort for cohort in checks if cohort in labelled and cohort != target]
    known = {
        cohort: [case.of(patients.get(cohort, {})) for case in check.identities] for cohort, check in checks.items()
    }
    found = list(leaks(known, sources=sources, targets=targets))
    return {
        cohort: check.with_findings(
            [*(problem for source, problem in found if source == cohort), *_twice(cohort, known, sources)]
        )
        for cohort, check in checks.items()
    }


def _twice(cohort: str, known: Known, sources: Collection[str]) -> Iterator[Problem]:
    """Cases of a source that are in an earlier one, too: they count twice where both are trained on."""
    place = list(sources).index(cohort) if cohort in sources else 0
    for earlier in list(sources)[:place]:
        for case_id, shared, other in find_shared(known[cohort], known[earlier]):
            what = f"cohort {cohort}: has the {shared} of {other} in cohort {earlier}"
            fix = "train on one of the two cohorts, or remove it from one"
            yield Problem(case_id, "", what, fix, Severity.WARNING)
