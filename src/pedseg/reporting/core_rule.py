"""What the rule "TC := WT" would give: every voxel of the predicted whole tumour called core, without any training.

Most children of BraTS-PEDs have hardly any oedema, so that this rule alone closes most of the distance between a model
of adults and one of children: a control that every claim has to beat, above all on the children who have oedema. It can
be bounded from scores per case, without a label map. Dice D, sensitivity S and true volume V of a region give its
overlap S·V and the predicted volume 2·S·V / D − V. Of the predicted WT, between

- ``max(overlap of TC, V_TC − missed WT)``, as predictions are nested and what is missed of WT may all be core, and
- ``min(V_TC, overlap of WT)``

voxels are core; ``V_TC · overlap of WT / V_WT`` of them if what is missed of WT is core as often as the rest.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pedseg.pages.tables import DASH, Cell, Table, number
from pedseg.reporting.rows import Model, pick
from pedseg.reporting.sizes import TISSUES
from pedseg.reporting.strata import MOSTLY_CORE

Floats = NDArray[np.float64]
CAPTION = (
    "Dice of TC as scored, and what calling every voxel of the predicted WT core would give: rigorous bounds, and the "
    "value if missed parts of WT are core as often as the rest."
)
READING = (
    "The rule needs no training and no image of a child, so it is the control of every claim. Children whose tumour "
    "is nearly all core hide what a model has learnt: the rule is right for them. Those with oedema tell models apart."
)
STRATA = ("all", f"TC/WT ≥ {MOSTLY_CORE}", f"TC/WT < {MOSTLY_CORE}", "no ED")


class Counts(NamedTuple):
    """Voxels of a region, an array (cases,) each: in the label, in the prediction (NaN: unknown), and in both."""

    true: Floats
    predicted: Floats
    overlap: Floats


class Bounds(NamedTuple):
    """Dice of TC under the rule, an array (cases,) each: least, if WT is missed evenly, and most."""

    lower: Floats
    independent: Floats
    upper: Floats


def counts_of(dice: Floats, sensitivity: Floats, volume: Floats) -> Counts:
    """Voxels (cases,) out of scores and true volumes.

    Where the Dice is 0 nothing tells how much was predicted, unless the label is empty, too, and the Dice 1.
    """
    overlap = np.where(volume > 0, np.nan_to_num(sensitivity) * volume, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        predicted = np.where(dice > 0, 2 * overlap / dice - volume, np.nan)
    return Counts(volume, predicted, overlap)


def rule_bounds(wt: Counts, tc: Counts) -> Bounds:
    """Bounds of the Dice of TC if all of the predicted WT is called core.

    Where nothing of WT is found it is 0, whatever was predicted; but if the label holds no core, and perhaps nothing
    was predicted, it may be 1. It is 1 where neither label nor prediction holds a tumour.
    """
    most = np.minimum(tc.true, wt.overlap)
    least = np.minimum(np.maximum(tc.overlap, tc.true - (wt.true - wt.overlap)), most)
    with np.errstate(divide="ignore", invalid="ignore"):
        even = np.clip(tc.true * wt.overlap / wt.true, least, most)

    def dice(common: Floats, unknown: float) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = 2 * common / (wt.predicted + tc.true)
        both_empty = (wt.true == 0) & (wt.predicted == 0)
        nothing = np.where((tc.true == 0) & np.isnan(wt.predicted), unknown, 0.0)
        return np.where(both_empty, 1.0, np.where(wt.overlap == 0, nothing, found))

    return Bounds(dice(least, 0.0), dice(even, 0.0), dice(most, 1.0))


@dataclass(frozen=True, slots=True)
class Ruled:
    """A model's cases under the rule.

    Attributes:
        model: its name.
        table: index case; columns ``tc`` (Dice as scored), ``lower``, ``independent``, ``upper``, ``predicted_share``
            and ``true_share`` of TC in WT, and ``oedema`` (volume of ED, that of the sizes).
    """

    model: str
    table: pd.DataFrame

    def of(self, stratum: str) -> pd.DataFrame:
        """Rows of one of `STRATA`."""
        core = self.table["true_share"].to_numpy() >= MOSTLY_CORE
        chosen = dict(zip(STRATA, (core | True, core, ~core, self.table["oedema"].to_numpy() == 0), strict=True))
        found: pd.DataFrame = self.table.loc[chosen[stratum]]
        return found


def rule_cases(model: Model, sizes: pd.DataFrame) -> Ruled | None:
    """Bound the rule for each case whose scores have a sensitivity and whose size is known; None if there is none.

    Args:
        model: its scores.
        sizes: as `pedseg.reporting.sizes.read_sizes` gives them.
    """
    if "sensitivity" not in model.scores:
        return None
    known = sizes[sizes.index.isin(model.cases)].fillna({"nc": 0, "ed": 0})
    columns = {
        region: np.stack(
            [pick(model.scores, metric, region).reindex(known.index) for metric in ("dice", "sensitivity")]
            + [known[list(tissues)].sum(axis=1)]
        )
        for region, tissues in (("wt", TISSUES), ("tc", ("et", "nc")))
    }
    usable = np.isfinite(columns["wt"][0]) & np.isfinite(columns["tc"][0])
    if not usable.any():
        return None
    wt, tc = (counts_of(*columns[region][:, usable]) for region in ("wt", "tc"))
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = {"predicted_share": tc.predicted / wt.predicted, "true_share": tc.true / wt.true}
    found = {"tc": columns["tc"][0][usable], **rule_bounds(wt, tc)._asdict(), **shares}
    table = pd.DataFrame(found, index=known.index[usable])
    return Ruled(model.name, table.assign(oedema=known["ed"][usable]))


def rule_table(models: Sequence[Model], sizes: pd.DataFrame) -> pd.DataFrame:
    """A row for each model and stratum: means over its cases, and their number.

    Returns:
        Columns: model, cases (stratum), n, tc, lower, independent, upper, predicted_share, true_share. Empty where no
        model has sensitivities, or no size is known.
    """
    ruled = [found for model in models if (found := rule_cases(model, sizes)) is not None]
    rows = [
        {"model": one.model, "cases": stratum, "n": len(cases), **cases.drop(columns="oedema").mean().to_dict()}
        for one in ruled
        for stratum in STRATA
        if len(cases := one.of(stratum))
    ]
    return pd.DataFrame(rows)


def cases_of(table: pd.DataFrame, stratum: str) -> str:
    """How many cases of a stratum the models of `rule_table` are scored on: ``n = 99``, ``n = 6 … 30``."""
    numbers = sorted({int(n) for n in table.loc[table["cases"] == stratum, "n"]})
    return f"n = {numbers[0]}" if len(numbers) == 1 else f"n = {numbers[0]} … {numbers[-1]}"


def rule_page_table(table: pd.DataFrame, *, caption: str) -> Table:
    """The table of `rule_table` for people: a row per model, and its Dice and the rule's in each stratum."""
    strata = [stratum for stratum in STRATA if (table["cases"] == stratum).any()]
    found = {(row["model"], row["cases"]): row for row in table.to_dict("records")}
    heads = [f"{stratum} ({cases_of(table, stratum)}): TC → rule" for stratum in strata]
    rows = []
    for model in dict.fromkeys(table["model"]):
        whole = found[model, STRATA[0]]
        shares = [number(whole["predicted_share"], 2), number(whole["true_share"], 3)]
        rows.append([Cell(str(model)), *(_cell(found.get((model, stratum))) for stratum in strata), *shares])
    return Table("core_rule", caption, ["model", *heads, "TC/WT predicted", "true"], rows)


def _cell(row: Mapping[Hashable, float] | None) -> Cell:
    """Dice of TC, then lower / independent / upper of the rule."""
    if row is None:
        return Cell(DASH)
    text = f"{row['tc']:.3f} → {row['lower']:.3f} / {row['independent']:.3f} / {row['upper']:.3f}"
    return Cell(text, row["tc"])
