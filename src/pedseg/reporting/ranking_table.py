"""The ranking of a sweep as tables: members by validator, and the cost of each choice where labels are known."""

import math
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from pedseg.choosing.validators import VALIDATORS
from pedseg.files import write_text
from pedseg.reporting.ranking import Ranking
from pedseg.reporting.rows import SYNTHETIC
from pedseg.reporting.tables import escape
from pedseg.sinks import csv_text

DIGITS = 4
MOST_NAMED = 2  # of the members that a validator chooses by the same score
CAPTION = (
    "Choosing without labels: the score of every member by each validator, higher is better, and its rank in brackets; "
    "the best in bold. No label of the target is read for these."
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


def ranking_markdown(ranking: Ranking) -> str:
    """Both tables with their captions and what is to be said about them."""
    scores, costs = captions(ranking)
    return "\n\n".join([scores, _members(ranking), costs, _costs(ranking), *ranking.notes]) + "\n"


def ranking_page(ranking: Ranking, pictures: Mapping[Path, str], *, folder: Path) -> str:
    """A page of the ranking alone; pictures, with their captions, are linked relative to `folder`."""
    title = "# Models ranked without labels"
    parts = [f"{title} ({SYNTHETIC})" if ranking.synthetic else title, ranking_markdown(ranking)]
    for path, caption in pictures.items():
        parts.append(f"![{caption}]({quote(path.relative_to(folder).as_posix())})\n\n*{caption}*")
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


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
    texts = {"validators.md": ranking_markdown(ranking), "validators.csv": ranking_csv(ranking)}
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def _members(ranking: Ranking) -> str:
    heads = [VALIDATORS[str(name)] for name in ranking.scores.columns]
    lines = [f"| member | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    for member in ranking.scores.index:
        cells = [
            _cell(float(value), float(rank))
            for value, rank in zip(ranking.scores.loc[member], ranking.ranks.loc[member], strict=True)
        ]
        lines.append(f"| {escape(member)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: float, rank: float) -> str:
    if not math.isfinite(value):
        return "–"
    text = f"{value:.{DIGITS}f} ({rank:.0f})"
    return f"**{text}**" if rank == 1 else text


def _costs(ranking: Ranking) -> str:
    lines = ["| validator | chosen | regret | rank correlation |", "|---|---|---:|---:|"]
    for name, row in ranking.costs.iterrows():
        regret, correlation = float(row["regret"]), float(row["correlation"])
        chosen = row["chosen"] if len(row["chosen"]) <= MOST_NAMED else [f"{len(row['chosen'])} members that tie"]
        cells = [VALIDATORS[str(name)], escape(", ".join(chosen))]
        cells.append(f"{regret:.{DIGITS}f}" if math.isfinite(regret) else "–")
        cells.append(f"{correlation:+.2f} ({row['members']})" if math.isfinite(correlation) else "–")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
