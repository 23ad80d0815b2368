"""Members of a sweep ranked by scores that need no target label; what such a choice costs where labels are known."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pedseg.choosing.validators import VALIDATORS, read_validators
from pedseg.errors import PedsegError
from pedseg.reporting.paper import REGIONS, model_name
from pedseg.reporting.rows import Model, experiment_name, pick, run_folders
from pedseg.runs import RunFolder, titled, trained_on_labels
from pedseg.settings.stored import Stored, read_stored

FEWEST_RANKED = 2
FEWEST_CORRELATED = 3


@dataclass(frozen=True, slots=True)
class Member:
    """One model that may be chosen.

    Attributes:
        name: of the model in the report.
        scores: mean over its folds, for each of `VALIDATORS`; NaN where a fold has none.
        folds: names of the runs that were validated.
        unvalidated: number of its finished runs that were not.
        settings: of the validation of each run.
        target_labels: whether it was trained on labels of the target: it is no candidate then.
        synthetic: whether the data are.
        config: settings of the first run, if they are known.
        control: scores of the rule TC := WT on it, which is shown and not chosen among.
    """

    name: str
    scores: Mapping[str, float]
    folds: tuple[str, ...] = ()
    unvalidated: int = 0
    settings: tuple[Mapping[str, Any], ...] = ()
    target_labels: bool = False
    synthetic: bool = False
    config: Stored | None = None
    control: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Candidates and what each validator makes of them.

    Attributes:
        members: candidates, in the order of the rows.
        scores: a row per member, a column per validator that any member has.
        ranks: 1 for the best; equal scores share the better rank.
        oracle: mean Dice of members with scores of labelled cases; may be empty.
        costs: a row per validator: ``chosen`` (names), ``regret``, ``correlation`` and the ``members`` that it is of.
        notes: sentences on what does not compare or is left out.
    """

    members: Sequence[Member]
    scores: pd.DataFrame
    ranks: pd.DataFrame
    oracle: Mapping[str, float]
    costs: pd.DataFrame
    notes: Sequence[str]

    @property
    def synthetic(self) -> bool:
        """Whether the data of any member are synthetic."""
        return any(member.synthetic for member in self.members)


def find_members(sources: Sequence[Path], models: Sequence[Model] = ()) -> list[Member]:
    """Read the validators.json of the variants of the runs in the given folders; the folds of a model make one member.

    Args:
        sources: single runs, experiments, or folders of these; files are passed over.
        models: of the report, whose names are used.

    Raises:
        PedsegError: a validators.json is damaged.
    """
    names = {(run.path.resolve(), model.variant): model.name for model in models for run in model.runs}
    grouped: dict[tuple[Path, str], dict[Path, Path]] = {}
    for source in filter(Path.is_dir, sources):
        for run in run_folders(source):
            for place in run.variants():
                if place.validators.exists():
                    path = run.path.resolve()
                    grouped.setdefault((path.parent, place.name), {}).setdefault(path, source)
    return [_member(folder, variant, runs, names) for (folder, variant), runs in grouped.items()]


def _member(folder: Path, variant: str, runs: Mapping[Path, Path], names: Mapping[tuple[Path, str], str]) -> Member:
    folders = [RunFolder(run) for run in sorted(runs)]
    records = [read_validators(run.variant(variant).validators) for run in folders]
    config = read_stored(folders[0].path) if folders[0].config.exists() else None
    root = next(iter(runs.values()))
    finished = {path.parent.resolve() for path in folder.glob("fold_*/finished.json")}
    named = next((names[run, variant] for run in runs if (run, variant) in names), None)
    return Member(
        name=named or titled(model_name(experiment_name(folder, config, root=root)), variant),
        scores={name: _mean([record["scores"].get(name) for record in records]) for name in VALIDATORS},
        folds=tuple(run.path.name for run in folders),
        unvalidated=len(finished - set(runs)),
        settings=tuple(record["settings"] for record in records),
        target_labels=any(record["target_labels"] for record in records),
        synthetic=any(record["synthetic"] for record in records),
        config=config,
        control={name: _mean([record.get("control", {}).get(name) for record in records]) for name in VALIDATORS},
    )


def rank_members(members: Sequence[Member], models: Sequence[Model] = ()) -> Ranking | None:
    """Rank the candidates by each validator; None if there are fewer than two.

    Args:
        members: those trained on labels of a cohort that any of them was validated on are left out.
        models: with scores of labelled cases, for regret and correlation alone.

    Raises:
        PedsegError: two candidates have one name.
    """
    cohorts = {cohort for member in members for settings in member.settings for cohort, _ in settings["target"]}
    candidates = [
        m for m in members if not (m.target_labels or any(m.config and trained_on_labels(m.config, c) for c in cohorts))
    ]
    if len(candidates) < FEWEST_RANKED:
        return None
    names = [member.name for member in candidates]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PedsegError(f"model {twice[0]} is given twice; leave one of its folders out, or rename it")
    scores = pd.DataFrame([member.scores for member in candidates], index=names)
    scores = scores.dropna(axis="columns", how="all")
    ranks = scores.rank(ascending=False, method="min")
    oracle = oracle_dice([model for model in models if model.name in scores.index])
    costs = pd.DataFrame.from_dict({name: _cost(scores[name], oracle) for name in scores}, orient="index")
    return Ranking(candidates, scores, ranks, oracle, costs, _notes(members, candidates, scores))


def oracle_dice(models: Sequence[Model]) -> dict[str, float]:
    """Mean Dice of each model, mean of regions, over the cases that all of them have scores of."""
    if not models:
        return {}
    common = frozenset.intersection(*(model.cases for model in models))
    if not common:
        return {}
    return {
        model.name: float(
            np.mean([pick(model.scores, "dice", r, without=model.cases - common).mean() for r in REGIONS])
        )
        for model in models
    }


def _cost(column: pd.Series, oracle: Mapping[str, float]) -> dict[str, object]:
    """Which member a validator chooses, and what that costs; members that tie share the cost."""
    best = list(column.index[column == column.max()])
    known = [name for name in column.dropna().index if math.isfinite(oracle.get(name, math.nan))]
    truth = [oracle[name] for name in known]
    regret = math.nan
    if len(known) >= FEWEST_RANKED and set(best) <= set(known):
        regret = max(value for value in oracle.values() if math.isfinite(value)) - float(
            np.mean([oracle[name] for name in best])
        )
    correlation = math.nan
    if len(known) >= FEWEST_CORRELATED and column[known].nunique() > 1 and len(set(truth)) > 1:
        from scipy import stats  # noqa: PLC0415

        correlation = float(stats.spearmanr(column[known], truth).statistic)
    return {"chosen": [str(name) for name in best], "regret": regret, "correlation": correlation, "members": len(known)}


def _notes(members: Sequence[Member], candidates: Sequence[Member], scores: pd.DataFrame) -> list[str]:
    notes = []
    supervised = [member.name for member in members if member not in candidates]
    if supervised:
        notes.append(f"Not ranked, as trained on labels of the target: {', '.join(supervised)}.")
    partly = [member.name for member in candidates if member.unvalidated]
    if partly:
        notes.append(f"Not all finished folds of {', '.join(partly)} are validated; run pedseg validate.")
    if not all(_comparable(member, candidates[0]) for member in candidates):
        notes.append(
            "The members were validated on different cases or with different settings, so that their scores compare "
            "with care (SND depends on the number of cases)."
        )
    if scores.isna().any(axis=None):
        notes.append("A dash: the score cannot be had, such as that of source cases where none was held out.")
    return notes


def _comparable(one: Member, other: Member) -> bool:
    """Whether two members were validated alike; source cases that one lacks show as dashes."""
    if len(one.settings) != len(other.settings):
        return False
    for a, b in zip(one.settings, other.settings, strict=True):
        skipped = set() if a["source"] and b["source"] else {"source"}
        if any(a.get(key) != b.get(key) for key in (a.keys() | b.keys()) - skipped):
            return False
    return True


def _mean(values: Sequence[float | None]) -> float:
    """Mean of the folds; NaN where one has none."""
    return float(np.mean([math.nan if value is None else value for value in values]))


def printed_scores(members: Sequence[Member]) -> str:
    """Scores of all members as plain text for the terminal, and under each those of the rule TC := WT on it."""
    rows = {}
    for member in members:
        rows[member.name] = [member.scores[name] for name in VALIDATORS]
        rows[f"{member.name}, TC := WT"] = [member.control.get(name, math.nan) for name in VALIDATORS]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(VALIDATORS.values()))
    return str(table.to_string(float_format="{:.4f}".format, na_rep="–"))
