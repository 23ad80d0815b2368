"""Make synthetic cohorts: pedseg phantom --output DIR."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.arguments import natural, number
from pedseg.exits import exit_code
from pedseg.hardware import cores
from pedseg.locks import writing_all
from pedseg.phantom.shifts import SHIFTS

if TYPE_CHECKING:
    from pedseg.phantom.cohort import CohortSettings


def main(argv: Sequence[str] | None = None) -> int:
    """Write the cohorts and report their sizes; 2 where the user must put something right."""
    return exit_code(lambda: _make(parser().parse_args(argv)))


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(
        prog="pedseg phantom",
        description="Make synthetic adult and paediatric glioma cohorts on real anatomy, in the layout of BraTS 2023.",
    )
    p.add_argument("--output", type=Path, required=True, metavar="DIR", help="receives DIR/adult and DIR/ped")
    p.add_argument("--adults", type=natural, default=20, metavar="N", help="adult cases (default 20)")
    p.add_argument("--children", type=natural, default=20, metavar="N", help="paediatric cases (default 20)")
    p.add_argument("--spacing", type=number, choices=(1, 2, 3, 4, 6, 8), default=1.0, help="voxel size, mm (1)")
    p.add_argument("--seed", type=natural, help="other seeds give other cases (default: the shift's, A 0 to E 4)")
    p.add_argument(
        "--first", type=natural, default=0, metavar="K", help="leave out the first K of each cohort, as a test set (0)"
    )
    known = f"what children are like: {_shifts()} (A)"
    p.add_argument("--shift", type=str.upper, choices=tuple(SHIFTS), default="A", help=known)
    p.add_argument("--workers", type=natural, default=cores(), metavar="N", help="processes (default: cores)")
    p.add_argument("--unlabelled-children", action="store_true", help="write no labels for the children")
    p.add_argument("--picture", action="store_true", help="also draw some cases into DIR/preview.png")
    return p


def _shifts() -> str:
    return ", ".join(f"{name} {shift.about}" for name, shift in SHIFTS.items())


def _make(options: argparse.Namespace) -> None:
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    from pedseg.phantom import report
    from pedseg.phantom.cohort import make_cohort

    cohorts = _cohorts(options)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn())
    folders = [options.output / settings.cohort for settings, _ in cohorts]
    with writing_all(folders), Progress(*columns) as progress:
        for (settings, cases), folder in zip(cohorts, folders, strict=True):
            task = progress.add_task(f"{settings.cohort} cases", total=cases)
            for _ in make_cohort(folder, settings, cases=cases, first=options.first, workers=options.workers):
                progress.advance(task)
    report.print_sizes(options.output, cohorts, first=options.first)
    if options.picture:
        print(f"picture: {report.draw_preview(options.output, cohorts, first=options.first)}")


def _cohorts(options: argparse.Namespace) -> list[tuple["CohortSettings", int]]:
    from pedseg.phantom.cohort import CohortSettings

    seed = SHIFTS[options.shift].seed if options.seed is None else options.seed
    spacing, labelled = float(options.spacing), not options.unlabelled_children
    adult = CohortSettings("adult", spacing, seed)
    ped = CohortSettings("ped", spacing, seed, labelled, options.shift)
    return [(s, n) for s, n in ((adult, options.adults), (ped, options.children)) if n]


if __name__ == "__main__":
    raise SystemExit(main())
