"""Heat maps of a sweep over α and λ: what a validator makes of each member, and what labels say where known."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from pedseg.choosing.validators import VALIDATORS
from pedseg.health import Adversary, adversary_in
from pedseg.pages.document import Picture
from pedseg.reporting.figures.style import BLACK, save
from pedseg.reporting.ranking import Member, Ranking
from pedseg.reporting.rows import SYNTHETIC
from pedseg.settings.names import deciding
from pedseg.settings.run import RunSettings

FEWEST_VALUES = 2  # of each, for a map
NAMES = ("experiment_name", "run_fold", "fold")  # differ between members and folds without being settings of the sweep


def draw_heat_maps(ranking: Ranking, folder: Path, *, validator: str) -> list[Picture]:
    """Draw a map for every set of members that differ in α and λ alone.

    Args:
        ranking: of all members.
        folder: for the files.
        validator: one of `VALIDATORS`.

    Returns:
        Nothing if no member has a score by this validator.
    """
    if validator not in ranking.scores:
        return []
    mark = f" ({SYNTHETIC})" if ranking.synthetic else ""
    pictures = []
    for number, members in enumerate(find_grids(ranking.members)):
        known = any(member.name in ranking.oracle for member in members)
        shown = "; and the mean Dice of labelled cases of the target, which has no part in the choice"
        pictures.append(
            save(
                heat_map(members, ranking, validator=validator, title=f"Sweep over α and λ{mark}"),
                folder / ("heat_map" if not number else f"heat_map_{number + 1}"),
                caption=f"{VALIDATORS[validator]} of {len(members)} members over α and λ, the best framed"
                f"{shown if known else ''}. The first is {members[0].name}.{mark}",
                data=_data(members, ranking, validator),
            )
        )
    return pictures


def _data(members: Sequence[Member], ranking: Ranking, validator: str) -> pd.DataFrame:
    rows = []
    for member in members:
        alpha, weight = place(member)
        score, dice = ranking.scores.loc[member.name, validator], ranking.oracle.get(member.name, math.nan)
        rows.append({"member": member.name, "alpha": alpha, "lambda": weight, validator: score, "target dice": dice})
    return pd.DataFrame(rows)


def find_grids(members: Sequence[Member]) -> list[list[Member]]:
    """Sets of members that differ in α and λ alone, at least two values of each."""
    groups: dict[str, list[Member]] = {}
    for member in members:
        if adversary := _adversary(member):
            axes = (f"{adversary.key}.alpha_max", f"{adversary.key}.lambda_domain")
            settings = deciding(member.config) if member.config else {}
            rest = sorted((k, repr(v)) for k, v in settings.items() if k not in (*axes, *NAMES))
            groups.setdefault(repr(rest), []).append(member)
    return [
        group
        for group in groups.values()
        if all(len({place(member)[axis] for member in group}) >= FEWEST_VALUES for axis in (0, 1))
    ]


def place(member: Member) -> tuple[float, float]:
    """α and λ of a member of a sweep."""
    adversary = _adversary(member)
    assert adversary is not None  # noqa: S101  (`find_grids` leaves members without one out)
    return adversary.alpha_max, adversary.lambda_domain


def _adversary(member: Member) -> Adversary | None:
    return adversary_in(member.config.adaptation.root) if isinstance(member.config, RunSettings) else None


def heat_map(members: Sequence[Member], ranking: Ranking, *, validator: str, title: str = "") -> Figure:
    """Draw α × λ coloured by a validator's scores, and by the oracle where it is known."""
    scores = {str(name): float(value) for name, value in ranking.scores[validator].items()}
    panels: list[tuple[str, Mapping[str, float]]] = [(f"{VALIDATORS[validator]}, no label", scores)]
    if any(member.name in ranking.oracle for member in members):
        panels.append(("mean Dice of the target, labels", ranking.oracle))
    alphas, lambdas = (sorted({place(member)[axis] for member in members}) for axis in (0, 1))
    figure = Figure(
        figsize=(max(3.6, 0.9 * len(alphas) + 2.0) * len(panels), max(2.8, 0.7 * len(lambdas) + 1.6)),
        layout="constrained",
    )
    figure.suptitle(title)
    for axis, (name, values) in zip(figure.subplots(1, len(panels), squeeze=False).flat, panels, strict=True):
        grid = np.full((len(lambdas), len(alphas)), np.nan)
        for member in members:
            alpha, weight = place(member)
            grid[lambdas.index(weight), alphas.index(alpha)] = values.get(member.name, math.nan)
        _panel(axis, grid, name=name)
        axis.set_xticks(range(len(alphas)), [f"{alpha:g}" for alpha in alphas])
        axis.set_yticks(range(len(lambdas)), [f"{weight:g}" for weight in lambdas])
    return figure


def _panel(axis: Axes, grid: NDArray[np.float64], *, name: str) -> None:
    axis.imshow(grid, cmap="cividis", origin="lower", aspect="auto")
    axis.set(title=name, xlabel="α at the end", ylabel="λ")
    for spine in axis.spines.values():
        spine.set_visible(False)
    middle = (np.nanmin(grid) + np.nanmax(grid)) / 2 if np.isfinite(grid).any() else 0.0
    for row, column in _known(grid):
        value = float(grid[row, column])
        colour = "black" if value > middle else "white"
        axis.text(column, row, f"{value:.3f}", ha="center", va="center", color=colour)
        if value == np.nanmax(grid):
            axis.add_patch(
                Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor=BLACK, linewidth=2.0)
            )


def _known(grid: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    for row, column in np.argwhere(np.isfinite(grid)):
        yield int(row), int(column)
