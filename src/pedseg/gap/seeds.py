"""What choosing without labels costs in each seed of the benchmark, and over them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pedseg.choosing.validators import VALIDATORS
from pedseg.gap.benchmark import LOWER, Benchmark, experiment_of
from pedseg.gap.roles import Entry, Role
from pedseg.pages.tables import DASH, Cell, Table, number
from pedseg.reporting.ranking import FEWEST_RANKED, Ranking, find_members, rank_members
from pedseg.reporting.ranking_table import DIGITS, MOST_NAMED

BASELINE = "source_dice"  # it needs no image of the target
READING = (
    "The model that each validator chooses in each seed and, in brackets, its regret: the best mean Dice (mean of "
    "regions, on the test cases) of any validated model without labels of the target minus that of the chosen one, "
    "or the mean of chosen ones that tie; a model that a validator has no score of is not chosen. Then the means over "
    "the seeds of the regret, which orders the rows, and of Spearman's rank correlation of score and mean Dice. A "
    "dash: it cannot be had, or not in every seed. Source Dice is the baseline to beat."
)
SAME_STATISTICS = (
    "Published sizes are flattered here, as the synthetic cases are drawn to the same statistics; so is, by them, a "
    "method that was trained towards these."
)


@dataclass(frozen=True, slots=True)
class SeedCosts:
    """What a validator chooses in each seed, and what labels say of it.

    Attributes:
        validator: one of `pedseg.choosing.validators.VALIDATORS`.
        chosen: titles of the model with the highest score, or of those that tie, by seed; none where it has no score.
        regret: in Dice, by seed; NaN where it cannot be had.
        correlation: Spearman's, by seed; NaN where it cannot be had.
    """

    validator: str
    chosen: Mapping[int, Sequence[str]]
    regret: Mapping[int, float]
    correlation: Mapping[int, float]

    @property
    def mean_regret(self) -> float:
        """Over all seeds; NaN if one has none, as the others do not compare then."""
        return float(np.mean(list(self.regret.values())))

    @property
    def mean_correlation(self) -> float:
        """Over all seeds; NaN if one has none."""
        return float(np.mean(list(self.correlation.values())))


def seed_costs(benchmark: Benchmark) -> tuple[list[SeedCosts], list[str]]:
    """Let each validator choose within each seed, among the models trained without labels of the target.

    Args:
        benchmark: whose runs' validators.json are read where there are any.

    Returns:
        A row for each validator that has scored two models of a seed, the smallest mean regret first and those without
        one last; and sentences on what has not been scored. No row if no seed has two validated models.

    Raises:
        PedsegError: a validators.json is damaged, or a seed has two validated experiments of one name.
    """
    unlabelled = [e for e in benchmark.entries if e.role in (Role.CONTROL, Role.METHOD) or e.bound == LOWER]
    candidates = [e for e in unlabelled if not e.ruled]
    ranked = {seed: _rank(benchmark, seed, candidates) for seed in benchmark.seeds}
    if not any(ranked.values()):
        return [], []
    rows = [_costs(validator, ranked) for validator in VALIDATORS]
    rows = [row for row in rows if any(row.chosen.values())]
    rows.sort(key=lambda row: (math.isnan(row.mean_regret), row.mean_regret))
    notes = [_unscored(ranking, seed, candidates) for seed, ranking in ranked.items()]
    return rows, [note for note in notes if note]


def seed_table(costs: Sequence[SeedCosts]) -> Table:
    """A row per validator: what it chooses in each seed, and means over the seeds."""
    rows = []
    for row in costs:
        name = VALIDATORS[row.validator]
        cells = [Cell(f"{name} (baseline)" if row.validator == BASELINE else name)]
        cells += [_choice(row.chosen[seed], row.regret[seed]) for seed in row.chosen]
        rows.append([*cells, number(row.mean_regret, DIGITS), number(row.mean_correlation, 2, signed=True)])
    heads = ["validator", *(f"seed {seed}" for seed in costs[0].chosen), "mean regret", "mean rank correlation"]
    return Table("seeds", "What each validator chooses in each seed.", heads, rows)


def _rank(benchmark: Benchmark, seed: int, candidates: Sequence[Entry]) -> Ranking | None:
    """Ranking of the candidates of one seed under their titles; None if fewer than two are validated."""
    titles = {entry.name: entry.title for entry in candidates if seed in entry.models}
    members = [(experiment_of(member.name), member) for member in find_members([benchmark.folders[seed]])]
    named = [replace(member, name=titles[name]) for name, member in members if name in titles]
    models = [replace(entry.models[seed], name=entry.title) for entry in candidates if seed in entry.models]
    return rank_members(named, models)


def _costs(validator: str, ranked: Mapping[int, Ranking | None]) -> SeedCosts:
    chosen: dict[int, Sequence[str]] = {}
    regret, correlation = {}, {}
    for seed, ranking in ranked.items():
        cost = _cost(ranking, validator)
        chosen[seed] = cost.get("chosen", ())
        regret[seed] = float(cost.get("regret", math.nan))
        correlation[seed] = float(cost.get("correlation", math.nan))
    return SeedCosts(validator, chosen, regret, correlation)


def _cost(ranking: Ranking | None, validator: str) -> Mapping[str, Any]:
    """What one ranking says of a validator; empty where it has scored fewer than two models."""
    if ranking is None or validator not in ranking.costs.index:
        return {}
    cost = {str(name): value for name, value in ranking.costs.loc[validator].items()}
    return cost if cost["members"] >= FEWEST_RANKED else {}


def _unscored(ranking: Ranking | None, seed: int, candidates: Sequence[Entry]) -> str:
    """Which models a seed's ranking lacks."""
    validated = {member.name for member in ranking.members} if ranking else set()
    absent = [e.title for e in candidates if seed in e.models and e.title not in validated]
    if not absent:
        return ""
    return f"Not validated in seed {seed}, and no choice there: {', '.join(absent)}; run pedseg validate."


def _choice(chosen: Sequence[str], regret: float) -> Cell:
    if not chosen:
        return Cell(DASH)
    text = ", ".join(chosen) if len(chosen) <= MOST_NAMED else f"{len(chosen)} models that tie"
    return Cell(f"{text} ({number(regret, DIGITS).text})")
