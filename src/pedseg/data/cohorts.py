"""What a run knows about the cohort it predicts: where the cases are, and in which voxel labels they are written."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from pedseg.cases import Case, find_cases
from pedseg.data.store import CohortStore
from pedseg.errors import PedsegError
from pedseg.labels import LabelConvention, get_convention
from pedseg.settings.pair import where_to_say


def cases_of(folder: Path | str | None, wanted: Collection[str], *, cohort: str, labelled: bool = False) -> list[Case]:
    """Find cases of a cohort by their ids, in the order wanted. Unless `labelled`, labels are not looked at.

    Args:
        folder: of the cohort; None where the settings name none.
        wanted: ids.
        cohort: its name.
        labelled: whether each case must have a label.

    Raises:
        PedsegError: the folder is not set or absent, or a case is not in it.
    """
    if not wanted:
        return []
    if folder is None:
        raise PedsegError(where_to_say(cohort))
    found = {case.id: case for case in find_cases(Path(folder), cohort=cohort, labelled=labelled).cases}
    missing = sorted(set(wanted) - set(found))
    if missing:
        what = "cases with a label" if labelled else "cases"
        raise PedsegError(
            f"{folder}: {len(missing)} of {len(wanted)} {what} to evaluate are not there ({missing[0]} …); restore "
            f"them, or give the folder that holds them as paths.{cohort}"
        )
    return [found[case_id] for case_id in wanted]


def labelled_cases(folder: Path | str, wanted: Collection[str], *, cohort: str) -> list[Case]:
    """Those cases of a cohort that have a label, among the ids wanted.

    Raises:
        PedsegError: the folder is absent or holds no case.
    """
    among = frozenset(wanted)
    return [case for case in find_cases(Path(folder), cohort=cohort, labelled=True).cases if case.id in among]


def convention_of(store: Path, cohort: str, *, setting: str | Mapping[str, int | Iterable[int]]) -> LabelConvention:
    """Label convention of a cohort: what preparation has settled on, or for an unlabelled one the setting.

    Args:
        store: folder of the prepared cohorts.
        cohort: its name.
        setting: its convention in the settings; ``auto`` leaves it to preparation.

    Raises:
        PedsegError: the cohort has not been prepared.
    """
    settled = CohortStore(store / cohort).convention
    return settled or get_convention("brats2023" if setting == "auto" else setting)
