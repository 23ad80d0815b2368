"""What choosing a model of the benchmark without labels of the target gives."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pedseg.choosing.validators import VALIDATORS
from pedseg.gap.benchmark import LOWER, Benchmark, experiment_of
from pedseg.gap.rows import Row
from pedseg.reporting.ranking import find_members

FEWEST = 2  # models that a choice is among


@dataclass(frozen=True, slots=True)
class Choice:
    """What a validator chooses.

    Attributes:
        validator: one of `pedseg.choosing.validators.VALIDATORS`.
        rows: the model with the highest score, or those that tie.
        candidates: number of models it chose among.
    """

    validator: str
    rows: Sequence[Row]
    candidates: int

    @property
    def reaches_goal(self) -> bool:
        """Whether the chosen model, and each that ties, closes the gap that the goal asks for."""
        return all(row.reaches_goal for row in self.rows)


def choose(benchmark: Benchmark, rows: Sequence[Row]) -> list[Choice]:
    """Let each validator choose by its mean score over the seeds.

    Candidates are all models that were trained without labels of the target, the adult-only ones too: not to adapt is
    a choice. One that is not validated in all of its seeds is none.

    Args:
        benchmark: whose runs' validators.json are read where there are any.
        rows: of the table.

    Returns:
        In the order of `VALIDATORS`; none of a validator that scored fewer than two candidates.

    Raises:
        PedsegError: a validators.json is damaged.
    """
    candidates = [row for row in rows if row.competes or row.entry.bound == LOWER]
    scores = _scores(benchmark)
    choices = []
    for validator in VALIDATORS:
        means = {
            row.entry.name: float(
                np.mean([scores.get((row.entry.name, seed), {}).get(validator, math.nan) for seed in row.entry.models])
            )
            for row in candidates
        }
        known = [row for row in candidates if math.isfinite(means[row.entry.name])]
        if len(known) >= FEWEST:
            best = max(means[row.entry.name] for row in known)
            chosen = [row for row in known if means[row.entry.name] == best]
            choices.append(Choice(validator, chosen, len(known)))
    return choices


def _scores(benchmark: Benchmark) -> dict[tuple[str, int], Mapping[str, float]]:
    """Scores by experiment and seed, of models that were not trained on labels of the target."""
    return {
        (experiment_of(member.name), seed): member.scores
        for seed, folder in benchmark.folders.items()
        for member in find_members([folder])
        if not member.target_labels
    }
