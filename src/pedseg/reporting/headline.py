"""The numbers that matter first: Dice of TC with and without oedema, WT that is lost for it, and the gap closed."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from pedseg.pages.document import KeyNumber
from pedseg.pages.tables import DASH, Cell, Table, count, number
from pedseg.reporting.ranking import Ranking
from pedseg.reporting.rows import Model, pick
from pedseg.reporting.strata import MOSTLY_CORE, WITH, WITHOUT, strata_of

LOWER, UPPER = ("m1_adult_fold", "1*", "1"), ("3*", "3")  # names of the bounds, those to be preferred first
PAPER = "UDA"
PARTS = ("all", WITH, WITHOUT)
CAPTION = (
    f"Mean Dice of TC of all cases, and of those with (TC/WT below {MOSTLY_CORE} in the label) and without oedema; of "
    "WT, and how much of it is lost against the model of adults; and the share of the gap in TC between the model of "
    "adults and the one of adults and labelled children that is closed, (model − lower) / (upper − lower)."
)


@dataclass(frozen=True, slots=True)
class Glance:
    """The numbers of a model over the cases that all models of a report are scored on.

    Attributes:
        name: of the model.
        tc: mean Dice of TC of `PARTS`; NaN where there is no such case.
        cases: number of cases of `PARTS`.
        wt: mean Dice of WT.
        wt_lost: against the model of adults; NaN without one.
        gap: share of the gap in TC that is closed; NaN without both bounds.
    """

    name: str
    tc: Mapping[str, float]
    cases: Mapping[str, int]
    wt: float
    wt_lost: float = math.nan
    gap: float = math.nan


def glance(models: Sequence[Model], sizes: pd.DataFrame) -> list[Glance]:
    """Numbers of each model.

    Args:
        models: of a report, one at least.
        sizes: as `pedseg.reporting.sizes.read_sizes` gives them; may be empty.
    """
    common = sorted(frozenset.intersection(*(model.cases for model in models)))
    groups = {"all": tuple(common), WITH: (), WITHOUT: (), **strata_of(sizes, common)}
    found = [_measure(model, groups) for model in models]
    lower, upper = (
        next((one for one in found if one.name == name), None) for name in bounds(one.name for one in found)
    )
    if lower is None:
        return found
    found = [replace(one, wt_lost=lower.wt - one.wt) for one in found]
    distance = upper.tc["all"] - lower.tc["all"] if upper else math.nan
    if not distance > 0:
        return found
    return [replace(one, gap=(one.tc["all"] - lower.tc["all"]) / distance) for one in found]


def _measure(model: Model, groups: Mapping[str, Sequence[str]]) -> Glance:
    tc, wt = (pick(model.scores, "dice", region).reindex(list(groups["all"])) for region in ("tc", "wt"))
    means = {name: float(tc.reindex(list(cases)).mean()) for name, cases in groups.items()}
    return Glance(model.name, means, {name: len(cases) for name, cases in groups.items()}, float(wt.mean()))


def bounds(names: Iterable[str]) -> tuple[str, str]:
    """Names of the model of adults and of the one of adults and labelled children; empty where there is none."""
    known = set(names)
    first, last = (next((name for name in wanted if name in known), "") for wanted in (LOWER, UPPER))
    return first, last


def glance_table(found: Sequence[Glance], *, caption: str) -> Table:
    """What `glance` found for people."""
    heads = ["model", "cases", "TC, all", f"TC, {WITH}", f"TC, {WITHOUT}", "WT", "WT lost", "gap closed (%)"]
    rows = [
        [
            Cell(one.name),
            count(one.cases["all"]),
            *(number(one.tc[part], 3) for part in PARTS),
            number(one.wt, 3),
            number(one.wt_lost, 3, signed=True),
            number(100 * one.gap, 0),
        ]
        for one in found
    ]
    return Table("glance", caption, heads, rows)


def headline(found: Sequence[Glance], ranking: Ranking | None, *, validator: str) -> tuple[str, list[KeyNumber]]:
    """Which model the first numbers are of and why, and these numbers.

    It is the one that the validator chooses without labels, where it has chosen; else the paper's; else the last of the
    table that is no bound. A model is never put first for its scores, which are made with labels.
    """
    by_name = {one.name: one for one in found}
    lower, upper = bounds(by_name)
    name, why = first_model(by_name, ranking, validator=validator)
    one = by_name[name]
    beside = [f"{bound} {_dice(by_name[bound].tc['all'])}" for bound in (lower, upper) if bound and bound != name]
    reference = f"{lower} {_dice(by_name[lower].wt)}" if lower else "no model of adults to compare with"
    numbers = [
        KeyNumber(
            "Dice of TC: all · with oedema · without",
            " · ".join(_dice(one.tc[part]) for part in PARTS),
            "; ".join([" · ".join(f"n = {one.cases[part]}" for part in PARTS), *beside]),
        ),
        KeyNumber(
            "Dice of WT lost" + (f" against {lower}" if lower else ""),
            number(one.wt_lost, 3, signed=True).text if name != lower else DASH,
            f"WT {_dice(one.wt)}; {reference}",
        ),
        KeyNumber(
            "Gap in TC closed",
            f"{100 * one.gap:.0f} %" if math.isfinite(one.gap) else DASH,
            _ends(by_name, lower, upper),
        ),
    ]
    return f"The first numbers are of {name}, {why}.", numbers


def _ends(known: Mapping[str, Glance], lower: str, upper: str) -> str:
    """What 0 and 100 % of the gap are."""
    if not (lower and upper):
        return "needs models 1* and 3*"
    if not known[upper].tc["all"] > known[lower].tc["all"]:
        return f"there is none: {upper} is not above {lower} on these cases"
    return f"0 % is {lower}, 100 % {upper}"


def first_model(known: Collection[str], ranking: Ranking | None, *, validator: str) -> tuple[str, str]:
    """Name of the model that stands first, and why."""
    chosen: Sequence[str] = ranking.costs["chosen"].get(validator, []) if ranking else []
    if len(chosen) == 1 and chosen[0] in known:
        return chosen[0], "which is chosen without labels of the target"
    if PAPER in known:
        return PAPER, "the paper's method; nothing has chosen among the models without labels"
    others = [name for name in known if name not in bounds(known)] or list(known)
    return others[-1], "as nothing has chosen among the models without labels"


def _dice(value: float) -> str:
    return number(value, 3).text
