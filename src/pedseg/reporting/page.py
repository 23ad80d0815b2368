"""The report as a Markdown page."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from pedseg.reporting import core_rule, strata
from pedseg.reporting.figures.pictures import Pictures
from pedseg.reporting.paper import GROUPS, TABLES, group_of
from pedseg.reporting.postprocessing_table import CAPTION, postprocessing_markdown
from pedseg.reporting.ranking import Ranking
from pedseg.reporting.ranking_table import ranking_markdown
from pedseg.reporting.rows import N_FOLDS, PAPERS_DEFINITION, Model, marked
from pedseg.reporting.sizes import TISSUES
from pedseg.reporting.statistics import MARGINS
from pedseg.reporting.tables import agreement, beside_paper, escape, to_markdown

MOST_ROWS = 72  # of comparisons on the page: 4 models on all cases and without small ET
REFERENCE = "UDA"
READING = (
    "Difference: mean of first − second over the cases both have, with its 95 % bootstrap interval. p: the paired "
    "t-test, as in the paper; p Wilcoxon: the signed-rank test, which outliers such as an HD95 of 374 mm do not rule. "
    "Both are corrected by Holm over all comparisons of one set of cases (p Holm). d: effect size, mean / standard "
    "deviation of the differences. p TOST: equivalence within the margin (Dice ±{dice:g}, HD95 ±{hd95_mm:g} mm).\n\n"
    "A large p of the t-test does not show that two models are equal: it says that these cases do not tell them apart. "
    "Equality within the margin is what a small p TOST supports."
)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a report says.

    Attributes:
        models: rows of the tables.
        tables: Table 2, and Table 3 if sizes are known, by number.
        captions: of the tables, by number.
        comparisons: rows of `pedseg.reporting.statistics.compare_models`.
        sizes: of the tissues by case; may be empty.
        small: cases that Table 3 leaves out.
        notes: sentences on what is missing.
        postprocessing: rows of `pedseg.reporting.postprocessing_table.postprocessing_table`; may be empty.
        postprocessing_notes: its sentences.
        ranking: of the models by scores that need no target label; None if fewer than two have such scores.
        core_rule: rows of `pedseg.reporting.core_rule.rule_table`; may be empty.
        strata: rows of `pedseg.reporting.strata.strata_table`; may be empty.
    """

    models: Sequence[Model]
    tables: Mapping[int, pd.DataFrame]
    captions: Mapping[int, str]
    comparisons: pd.DataFrame
    sizes: pd.DataFrame
    small: frozenset[str] = frozenset()
    notes: Sequence[str] = field(default=())
    postprocessing: pd.DataFrame = field(default_factory=pd.DataFrame)
    postprocessing_notes: Sequence[str] = field(default=())
    ranking: Ranking | None = None
    core_rule: pd.DataFrame = field(default_factory=pd.DataFrame)
    strata: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def postprocessing_caption(self) -> str:
        """Caption of the table of post-processing."""
        return marked(self.models, CAPTION)

    @property
    def synthetic(self) -> bool:
        """Whether the data of any model are synthetic."""
        return any(model.synthetic for model in self.models)

    def is_beside_paper(self, number: int) -> bool:
        """Whether a table can be set beside the paper's: it has one of its models, real data and its metrics."""
        papers = not self.synthetic and all(model.definition == PAPERS_DEFINITION for model in self.models)
        return papers and any(name in TABLES[number] for name in self.tables[number].index)


def table_captions(models: Sequence[Model], *, small: int, min_et_mm3: float) -> dict[int, str]:
    """Captions of Tables 2 and 3."""
    kept = f"The same without the {small} cases with no ET or one" if small else "The same, as no case has an ET"
    texts = {
        2: f"Mean and median Dice (DSC) and HD95 ({models[0].definition}) of every model, all cases. Best of each "
        "group of models in bold.",
        3: f"{kept} below {min_et_mm3:g} mm³. Best of each group in bold, second best underlined.",
    }
    return {number: f"Table {number}. {marked(models, text)}" for number, text in texts.items()}


def coverage_lines(models: Sequence[Model]) -> list[str]:
    """Say what each row rests on, and warn where rows rest on part of the cases or on different ones."""
    lines = [f"- {escape(model.name)}: {model.coverage}" for model in models]
    unfinished = [escape(model.name) for model in models if not model.complete]
    warnings = []
    if unfinished:
        warnings.append(
            f"**Incomplete**: {', '.join(unfinished)}. Not all {N_FOLDS} folds are scored, so these rows will change."
        )
    if len({model.cases for model in models}) > 1:
        common = len(frozenset.intersection(*(model.cases for model in models)))
        warnings.append(
            f"**The models are scored on different cases** ({common} are common to all): rows of the tables compare "
            "with care; the paired comparisons use the common cases of each pair."
        )
    return ["\n".join(lines), *warnings]


def write_page(contents: Contents, pictures: Pictures, *, folder: Path) -> str:
    """Compose the page; pictures are linked relative to `folder`."""
    models = contents.models
    parts = [f"# {marked(models, 'Models on the paediatric cases')}"]
    if contents.synthetic:
        parts.append("The cases are SYNTHETIC phantoms: no number here says anything about patients.")
    parts += coverage_lines(models)
    for number, table in contents.tables.items():
        parts += [f"## {marked(models, f'Table {number}')}"]
        parts += [to_markdown(table, caption=contents.captions[number], second=number != min(contents.tables))]
        if contents.is_beside_paper(number):
            same, total = agreement(table, number=number)
            parts += [f"### Table {number}: paper and this run"]
            parts += [f"{same} of {total} numbers of the paper are the same; what differs is bold."]
            parts += [beside_paper(table, number=number)]
    parts += [_groups(models), *_absent(contents.sizes), *contents.notes, *pictures.notes]
    if len(contents.postprocessing) or contents.postprocessing_notes:
        parts += [f"## {marked(models, 'Post-processing')}", *contents.postprocessing_notes]
    if len(contents.postprocessing):
        parts += [postprocessing_markdown(contents.postprocessing, caption=contents.postprocessing_caption)]
    parts += [*_strata(contents), *_core_rule(contents)]
    if contents.ranking:
        parts += [f"## {marked(models, 'Choosing without labels')}", ranking_markdown(contents.ranking)]
    if len(contents.comparisons):
        parts += [f"## {marked(models, 'Paired comparisons')}", _comparisons(contents.comparisons)]
    if pictures.health:
        lines = "\n".join(f"- {line}" for line in pictures.health)
        parts += [f"## {marked(models, 'Health of the adversary')}", lines]
    parts.append(f"## {marked(models, 'Pictures')}")
    for path, caption in pictures.captions.items():
        text = marked(models, caption) if "SYNTHETIC" not in caption else caption
        link = quote(Path(os.path.relpath(path, folder)).as_posix())
        parts.append(f"![{text}]({link})\n\n*{text}*")
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def _strata(contents: Contents) -> list[str]:
    """The section on TC with and without oedema, where sizes are known."""
    if not len(contents.strata):
        return []
    title, caption = (marked(contents.models, text) for text in ("TC with and without oedema", strata.CAPTION))
    return [f"## {title}", strata.strata_markdown(contents.strata, caption=caption)]


def _core_rule(contents: Contents) -> list[str]:
    """The section on the rule TC := WT, where it can be bounded."""
    if not len(contents.core_rule):
        return []
    models = contents.models
    table = core_rule.rule_markdown(contents.core_rule, caption=marked(models, core_rule.CAPTION))
    return [f"## {marked(models, 'The rule TC := WT')}", core_rule.READING, table]


def _groups(models: Sequence[Model]) -> str:
    """Which models are ranked together."""
    found = {group: [m.name for m in models if group_of(m.name) == group] for group in [*GROUPS, "other models"]}
    texts = [f"{group} ({', '.join(map(escape, names))})" for group, names in found.items() if names]
    return f"Groups, each with its own best values, as in the paper's Table 2: {'; '.join(texts)}."


def _absent(sizes: pd.DataFrame) -> list[str]:
    """In how many cases each tissue is absent."""
    lines = []
    for cohort, rows in sizes.groupby("cohort"):
        counts = ", ".join(f"{tissue.upper()} in {int((rows[tissue] == 0).sum())}" for tissue in TISSUES)
        lines.append(f"Absent from the labels of cohort {cohort} ({len(rows)} cases): {counts}.")
    return lines


def _comparisons(table: pd.DataFrame) -> str:
    """Paired comparisons as Markdown; where they are many, those of UDA on the cases of Table 3."""
    lines = [READING.format(**MARGINS)]
    shown = table
    if len(table) > MOST_ROWS:
        shown = table[table["population"] == table["population"].iloc[-1]]
        involved = (shown["first"] == REFERENCE) | (shown["second"] == REFERENCE)
        shown = (shown[involved] if involved.any() else shown)[:MOST_ROWS]
        lines.append(f"{len(shown)} of {len(table)} comparisons; all are in statistics.md and statistics.json.")
    return "\n\n".join([*lines, comparisons_table(shown)])


def comparisons_table(table: pd.DataFrame) -> str:
    """Rows of `pedseg.reporting.statistics.compare_models` as a Markdown table; p < 0.05 in bold."""
    lines = [
        "| cases | first | second | metric | region | n | difference | 95 % interval | d | p | p Holm | p Wilcoxon | "
        "p Wilcoxon Holm | p TOST |",
        f"|---|---|---|---|---|{'---:|' * 9}",
    ]
    for row in table.to_dict("records"):
        digits = 3 if row["metric"] == "dice" else 2
        metric, region = {"dice": "Dice", "hd95_mm": "HD95"}[str(row["metric"])], str(row["region"]).upper()
        cells = [row["population"], escape(row["first"]), escape(row["second"]), metric, region, row["cases"]]
        cells += [f"{row['difference']:+.{digits}f}", f"{row['low']:+.{digits}f} … {row['high']:+.{digits}f}"]
        cells += [f"{row['effect_size']:+.2f}"]
        cells += [_p(row[name]) for name in ("p_t", "p_t_holm", "p_wilcoxon", "p_wilcoxon_holm", "p_tost")]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _p(value: float) -> str:
    text = "< 0.001" if value < 1e-3 else f"{value:.3f}"  # noqa: PLR2004  (the three digits that are shown)
    return f"**{text}**" if value < 0.05 else text  # noqa: PLR2004  (the usual level)
