"""Cases of a run: those that it evaluates, and those of its source that it holds out."""

from pedseg.assembly.objects import select
from pedseg.cases import Case
from pedseg.data.cohorts import cases_of
from pedseg.data.selection import Selection
from pedseg.errors import PedsegError
from pedseg.runs import RunFolder
from pedseg.settings.run import RunSettings
from pedseg.settings.stored import read_settings
from pedseg.settings.variants import KEEP_LARGEST


def evaluation_cases(settings: RunSettings, selection: Selection) -> list[Case]:
    """Find the images of the cases that will be predicted. Labels are not looked at here.

    Raises:
        PedsegError: the cohort's folder is not set, or a case is not in it.
    """
    name = settings.data.evaluation
    return cases_of(settings.data.cohorts[name].folder, selection.evaluation.get(name, ()), cohort=name)


def check_held_out(settings: RunSettings, run: RunFolder, *, to: str) -> list[str]:
    """Cohorts of which a run holds cases out.

    Args:
        settings: of the run.
        run: its folder.
        to: what they are wanted for, as the message has it.

    Raises:
        PedsegError: there is none.
    """
    parts = {} if settings.fold == "all" else settings.data.labelled_source
    cohorts = [cohort for cohort, part in parts.items() if part == "fold"]
    if not cohorts:
        raise PedsegError(
            f"{run.path}: is trained on every source case (fold=all, or all of each cohort), so none is held out to "
            f"{to}; leave that variant out for this run, or train folds"
        )
    return cohorts


def held_out_cases(run: RunFolder) -> dict[str, list[Case]]:
    """Labelled source cases, by cohort, that a run was not trained on.

    Raises:
        PedsegError: there is none, or they are not where the run has found them.
    """
    settings = read_settings(run.path)
    cohorts = check_held_out(settings, run, to=f"choose {KEEP_LARGEST} on")
    held_out = select(settings).source_validation
    folders = {cohort: settings.data.cohorts[cohort].folder for cohort in cohorts}
    return {c: cases_of(folder, held_out[c], cohort=c, labelled=True) for c, folder in folders.items()}
