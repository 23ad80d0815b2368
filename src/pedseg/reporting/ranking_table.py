"""The ranking of a sweep as tables: members by validator, and the cost of each choice where labels are known."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pedseg.choosing.validators import VALIDATORS
from pedseg.files import write_text
from pedseg.pages.document import Document, Picture, Section
from pedseg.pages.tables import BEST, DASH, Cell, Table, number
from pedseg.reporting.ranking import Ranking
from pedseg.reporting.rows import SYNTHETIC
from pedseg.sinks import csv_text

DIGITS = 4
MOST_NAMED = 2  # of the members that a validator chooses by the same score
CAPTION = (
    "Choosing without labels: the score of every member by each validator, higher is better, and its rank in brackets; "
    "the best in bold where it is alone. No label of the target is read for these."
)
COST_CAPTION = (
    "The member that each validator chooses. Labels of the target are read for the last two columns alone: regret, the "
    "best mean Dice of any member (mean of regions, over the cases that all have) minus that of the chosen one, or the "
    "mean of chosen ones that tie; and Spearman's rank correlation of score and mean Dice, with the number of members."
)


def captions(ranking: Ranking) -> tuple[str, str]:
    """Captions of the two tables; they say where the data are synthetic."""
    mark = f" ({SYNTHETIC})" if ranking.synthetic else ""
    return f"{CAPTION}{mark}", f"{COST_CAPTION}{mark}"


def ranking_tables(ranking: Ranking) -> list[Table]:
    """Members by validator, and what each choice costs, with what is to be said about them."""
    scores, costs = captions(ranking)
    return [_members(ranking, scores), _costs(ranking, costs)]


def ranking_section(ranking: Ranking, pictures: Sequence[Picture] = ()) -> Section:
    """The ranking as a part of a page."""
    return Section("Choosing without labels", tables=ranking_tables(ranking), pictures=pictures)


def ranking_document(ranking: Ranking, pictures: Sequence[Picture]) -> Document:
    """A page of the ranking alone."""
    return Document("Models ranked without labels", [ranking_section(ranking, pictures)], synthetic=ranking.synthetic)


def ranking_csv(ranking: Ranking) -> str:
    """A row per member and validator, with all digits; what labels say of the validator and the caption come last."""
    rows = [
        {
            "model": member,
            "validator": validator,
            "value": ranking.scores.loc[member, validator],
            "rank": ranking.ranks.loc[member, validator],
            "regret": ranking.costs.loc[validator, "regret"],
            "correlation": ranking.costs.loc[validator, "correlation"],
            "caption": " ".join(captions(ranking)),
        }
        for validator in ranking.scores.columns
        for member in ranking.scores.index
    ]
    return csv_text(pd.DataFrame(rows))


def write_ranking(ranking: Ranking, folder: Path) -> list[Path]:
    """Write validators.md and validators.csv and return the paths."""
    page = "\n".join(table.markdown() for table in ranking_tables(ranking))
    texts = {"validators.md": page, "validators.csv": ranking_csv(ranking)}
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def _members(ranking: Ranking, caption: str) -> Table:
    rows = [
        [
            Cell(str(member)),
            *(
                _cell(float(value), float(rank), best=(ranks == 1).sum() == 1 < len(ranks.dropna()))
                for (_, ranks), value, rank in zip(
                    ranking.ranks.items(), ranking.scores.loc[member], ranking.ranks.loc[member], strict=True
                )
            ),
        ]
        for member in ranking.scores.index
    ]
    heads = [VALIDATORS[str(name)] for name in ranking.scores.columns]
    return Table("validators", caption, ["member", *heads], rows)


def _cell(value: float, rank: float, *, best: bool) -> Cell:
    """A score with its rank; the first is marked where it is the `best` alone."""
    if not math.isfinite(value):
        return Cell(DASH)
    return Cell(f"{value:.{DIGITS}f} ({rank:.0f})", value, BEST if best and rank == 1 else "")


def _costs(ranking: Ranking, caption: str) -> Table:
    rows = []
    for name, row in ranking.costs.iterrows():
        correlation = float(row["correlation"])
        chosen = row["chosen"] if len(row["chosen"]) <= MOST_NAMED else [f"{len(row['chosen'])} members that tie"]
        known = math.isfinite(correlation)
        agreement = Cell(f"{correlation:+.2f} ({row['members']})", correlation) if known else Cell(DASH)
        cells = [Cell(VALIDATORS[str(name)]), Cell(", ".join(chosen))]
        rows.append([*cells, number(float(row["regret"]), DIGITS), agreement])
    heads = ["validator", "chosen", "regret", "rank correlation"]
    return Table("choices", caption, heads, rows, ranking.notes)
