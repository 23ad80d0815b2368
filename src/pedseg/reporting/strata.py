"""Children with and without oedema: two groups among which a mean over all children hides what a model has learnt.

In BraTS-PEDs 2023 (99 children, mean TC/WT 0.922) 80 have hardly any oedema; for them calling the whole tumour core is
right. Sizes come from labels, at scoring alone.
"""

from collections.abc import Iterable, Sequence

import pandas as pd

from pedseg.pages.tables import DASH, Cell, Table
from pedseg.reporting.rows import Model, pick

MOSTLY_CORE = 0.9  # of WT: a child with less of it in TC counts as one with oedema (19 of the 99)
WITH, WITHOUT = "with oedema", "without oedema"
CAPTION = (
    f"Mean Dice of TC of all cases, and of those with (TC/WT below {MOSTLY_CORE}) and without oedema. Calling all of "
    "WT core is right for nearly all without, so that only those with oedema tell models apart."
)


def core_share(sizes: pd.DataFrame) -> pd.Series:
    """TC / WT by case, of sizes as `pedseg.reporting.sizes.read_sizes` gives them; NaN without a tumour."""
    core = sizes["et"].fillna(0) + sizes["nc"].fillna(0)
    return core / (core + sizes["ed"].fillna(0))


def strata_of(sizes: pd.DataFrame, cases: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Cases of known size with (TC/WT below `MOSTLY_CORE`) and without oedema, in their order; groups may be empty."""
    share = core_share(sizes)
    known = [case for case in cases if case in share.index]
    return {
        WITH: tuple(case for case in known if share[case] < MOSTLY_CORE),
        WITHOUT: tuple(case for case in known if share[case] >= MOSTLY_CORE),
    }


def strata_table(models: Sequence[Model], sizes: pd.DataFrame) -> pd.DataFrame:
    """Mean Dice of TC of each model: columns model, and for all, with and without oedema the Dice and ``n …``.

    Empty where no size is known. Cases of unknown size count among all alone.
    """
    rows = []
    for model in models:
        scores = pick(model.scores, "dice", "tc")
        strata = {"all": tuple(scores.index), **strata_of(sizes, scores.index)}
        means = {name: scores[list(cases)].mean() for name, cases in strata.items()}
        rows.append({"model": model.name, **means, **{f"n {name}": len(cases) for name, cases in strata.items()}})
    return pd.DataFrame(rows) if len(sizes) else pd.DataFrame()


def strata_page_table(table: pd.DataFrame, *, caption: str) -> Table:
    """The table of `strata_table` for people."""
    names = ("all", WITH, WITHOUT)
    rows = [
        [
            Cell(str(row["model"])),
            *(
                Cell(f"{row[name]:.3f} (n = {row[f'n {name}']})", row[name]) if row[f"n {name}"] else Cell(DASH)
                for name in names
            ),
        ]
        for row in table.to_dict("records")
    ]
    return Table("strata", caption, ["model", *names], rows)
