"""The panels that show whether adaptation works, as a workspace of W&B: several runs, seeds and folds in one place."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from pedseg.errors import PedsegError
from pedseg.labels import Region

TITLE = "Does adaptation work?"
REGIONS = tuple(map(str, Region))


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: above it.
        metrics: names that runs log.
        kind: bars (last values, a bar for each group), curves (over epochs), scatter (the first against the second),
            parallel (settings and metrics of each run) or table (of cases).
        settings: keys of settings among the axes of a parallel panel.
    """

    title: str
    metrics: tuple[str, ...]
    kind: str
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """Panels below one heading."""

    title: str
    panels: tuple[Panel, ...]


def sections(variant: str, validator: str) -> tuple[Section, ...]:
    """What the dashboard shows, in its order.

    Args:
        variant: whose scores.
        validator: score without labels that runs are chosen by.
    """
    score = f"validator/{variant}/{validator}"
    core, grid = f"test/{variant}/tc/dice", ("adaptation.dann.alpha_max", "adaptation.dann.lambda_domain")
    return (
        Section(
            "Result on held-out target cases",
            (
                _bars("Dice", [f"test/{variant}/{region}/dice" for region in REGIONS]),
                _bars("HD95 in mm", [f"test/{variant}/{region}/hd95_mm" for region in REGIONS]),
                Panel("Cases (with callbacks.images=true)", (f"cases/{variant}",), "table"),
            ),
        ),
        Section(
            "Choice without labels",
            (
                _bars("Score without labels", [score]),
                Panel("Score without labels and Dice of TC: does the choice agree?", (score, core), "scatter"),
                Panel("Sweep", (score,), "parallel", grid),
            ),
        ),
        Section(
            "Adversary",
            (
                _curves(
                    "Domain accuracy (0.5: confused)",
                    _adversary("accuracy_source", "accuracy_target"),
                ),
                _curves("Domain loss (0.69: chance), and weighted", _adversary("loss_domain", "lambda_loss_domain")),
                _curves("Gradients at the split", _adversary("gradient_seg", "gradient_domain")),
                _curves("Strength of the reversal", _adversary("alpha")),
            ),
        ),
        Section(
            "Source is kept",
            (
                _curves("Dice of held-out source patches", [f"val/source/dice_{region}" for region in REGIONS]),
                _bars("Best and last of them", ["best/val/source/dice_mean", "last/val/source/dice_mean"]),
                _curves("Segmentation loss", ["train/loss_seg"]),
            ),
        ),
    )


def _bars(title: str, metrics: Sequence[str]) -> Panel:
    return Panel(title, tuple(metrics), "bars")


def _curves(title: str, metrics: Sequence[str]) -> Panel:
    return Panel(title, tuple(metrics), "curves")


def _adversary(*names: str) -> list[str]:
    return [f"adversary/{name}" for name in names]


def workspace(entity: str, project: str, content: Sequence[Section]) -> Any:  # noqa: ANN401  (of wandb_workspaces)
    """A workspace of W&B that is not saved yet.

    Raises:
        PedsegError: wandb-workspaces is not installed.
    """
    if find_spec("wandb_workspaces") is None:
        raise PedsegError('dashboard needs wandb-workspaces; install it with pip install "pedseg[dashboard]"')
    import wandb_workspaces.workspaces as made  # noqa: PLC0415  (an extra)

    parts = [made.Section(name=one.title, panels=[_panel(p) for p in one.panels], is_open=True) for one in content]
    joined = made.RunsetSettings(groupby=[made.Metric("Group")])  # seeds and folds; panels follow the table of runs
    return made.Workspace(entity=entity, project=project, name=TITLE, sections=parts, runset_settings=joined)


def definition(space: Any) -> str:  # noqa: ANN401
    """A workspace as the JSON that W&B keeps of it."""
    text: str = space._to_model().model_dump_json(by_alias=True, exclude_none=True, indent=2)
    return text


def _panel(panel: Panel) -> Any:  # noqa: ANN401
    import wandb_workspaces.reports.v2 as made  # noqa: PLC0415

    metrics, title = list(panel.metrics), panel.title
    if panel.kind == "bars":
        return made.BarPlot(title=title, metrics=metrics)
    if panel.kind == "curves":
        return made.LinePlot(title=title, x="epoch", y=metrics)
    if panel.kind == "scatter":
        across, up = (made.SummaryMetric(name) for name in metrics)
        return made.ScatterPlot(title=title, x=across, y=up)
    if panel.kind == "parallel":
        axes = [*map(made.Config, panel.settings), *map(made.SummaryMetric, metrics)]
        return made.ParallelCoordinatesPlot(
            title=title, columns=[made.ParallelCoordinatesPlotColumn(metric=axis) for axis in axes]
        )
    return made.WeavePanelSummaryTable(table_name=metrics[0])
