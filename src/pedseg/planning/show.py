"""Plans on the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from pedseg.planning.plan import Plan, size
from pedseg.sinks import markup


def show(plans: Sequence[Plan]) -> None:
    """Write a plan in full; several as a table with a row for each and the hours of all."""
    console = Console(soft_wrap=True)
    if len(plans) == 1:
        for name, text in plans[0].rows():
            console.print(f"{name:<28}{markup(text)}", highlight=False)
        return
    if not console.is_terminal:
        console = Console(width=200)
    table = Table("run", "cases", "steps", "precision", "hours", "host memory", "GPU memory", "disk")
    for plan in plans:
        table.add_row(
            markup(plan.name),
            _cases(plan),
            f"{plan.steps} × {plan.epochs}",
            plan.precision,
            "not measured" if plan.hours is None else f"{plan.hours:.3g}",
            "not measured" if plan.measured is None else size(plan.measured.host + plan.measured.loaders),
            size(plan.gpu.peak),
            size(plan.disk),
        )
    console.print(table)
    hours = [plan.hours for plan in plans if plan.hours is not None]
    missing = len(plans) - len(hours)
    beside = f", {missing} of them not measured" if missing else ""
    console.print(f"{len(plans)} runs one after the other: {sum(hours):.3g} hours{beside}", highlight=False)


def _cases(plan: Plan) -> str:
    """Cases of all cohorts, by purpose."""
    totals = {purpose.split(",")[0]: sum(cohorts.values()) for purpose, cohorts in plan.cases.items()}
    return ", ".join(f"{number} {purpose}" for purpose, number in totals.items() if number)
