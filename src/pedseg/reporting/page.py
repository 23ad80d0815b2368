"""The report as a page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from pedseg.pages.document import Document, Picture, Section
from pedseg.pages.tables import Cell, Table, number
from pedseg.pages.viewing import Viewer
from pedseg.reporting import core_rule, headline, strata
from pedseg.reporting.figures.pictures import Pictures
from pedseg.reporting.paper import GROUPS, REGIONS, TABLES, group_of
from pedseg.reporting.postprocessing_table import CAPTION, postprocessing_page_table
from pedseg.reporting.ranking import Ranking
from pedseg.reporting.ranking_table import ranking_section
from pedseg.reporting.rows import N_FOLDS, PAPERS_DEFINITION, Model, marked
from pedseg.reporting.sizes import TISSUES
from pedseg.reporting.statistics import MARGINS, comparisons_table
from pedseg.reporting.tables import agreement, beside_paper, score_table

CASE_COLUMNS = ("Dice", "HD95 (mm)", "volume (ml)", "error (ml)")
CASE_VALUES = ["dice", "hd95_mm", "volume_ml", "volume_error_ml"]
CASE_DIGITS = {"dice": 3, "hd95_mm": 1, "volume_ml": 1, "volume_error_ml": 1}
MM3_PER_ML = 1000
READING = (
    "Difference: mean of first − second over the cases both have, with its 95 % bootstrap interval. p: the paired "
    "t-test, as in the paper; p Wilcoxon: the signed-rank test, which outliers such as an HD95 of 374 mm do not rule. "
    "Both are corrected by Holm over all comparisons of one set of cases (p Holm). d: effect size, mean / standard "
    "deviation of the differences. p TOST: equivalence within the margin (Dice ±{dice:g}, HD95 ±{hd95_mm:g} mm). "
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
        core_rule_pictures: of the rule.
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
    core_rule_pictures: Sequence[Picture] = field(default=())

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
        "group of models in bold, where nothing shares it.",
        3: f"{kept} below {min_et_mm3:g} mm³. Best of each group in bold, second best underlined, where nothing shares "
        "them.",
    }
    return {number: f"Table {number}. {marked(models, text)}" for number, text in texts.items()}


def coverage_lines(models: Sequence[Model]) -> list[str]:
    """Say what each row rests on, and warn where rows rest on part of the cases or on different ones."""
    warnings = []
    unfinished = [model.name for model in models if not model.complete]
    if unfinished:
        warnings.append(
            f"Incomplete: {', '.join(unfinished)}. Not all {N_FOLDS} folds are scored, so these rows will change."
        )
    if len({model.cases for model in models}) > 1:
        common = len(frozenset.intersection(*(model.cases for model in models)))
        warnings.append(
            f"The models are scored on different cases ({common} are common to all): rows of the tables compare with "
            "care; the numbers at the top and the paired comparisons use the common cases."
        )
    return [*warnings, *(f"{model.name}: {model.coverage}" for model in models)]


def report_document(
    contents: Contents, pictures: Pictures, *, validator: str, viewer: Viewer | None = None
) -> Document:
    """Compose the page.

    Args:
        contents: what it says.
        pictures: that it shows.
        validator: whose choice the first numbers are of.
        viewer: of some cases.
    """
    models = contents.models
    glance = headline.glance(models, contents.sizes)
    whose, numbers = headline.headline(glance, contents.ranking, validator=validator)
    sections = [
        Section("At a glance", tables=[headline.glance_table(glance, caption=marked(models, headline.CAPTION))]),
        Section("Look at cases", viewer=viewer),
        *(_scores(contents, number) for number in contents.tables),
        Section("Distributions", pictures=pictures.scores, points=_absent(contents.sizes)),
        *_controls(contents),
        _postprocessing(contents),
        _choice(contents, pictures),
        Section("Paired comparisons", [READING.format(**MARGINS)], tables=_comparisons(contents)),
        Section("Cases", tables=[cases_table(models)]),
        Section("Training", pictures=pictures.training),
        Section("Health of the adversary", points=pictures.health, pictures=pictures.adversaries),
        Section("Slices", pictures=pictures.cases, notes=pictures.notes),
        Section("What the rows rest on", points=[*coverage_lines(models), _groups(models), *contents.notes]),
    ]
    title = marked(models, "Models on the paediatric cases")
    return Document(title, sections, [whose], numbers, synthetic=contents.synthetic)


def _scores(contents: Contents, number: int) -> Section:
    """Table 2 or 3, beside the paper's where that can be."""
    table = contents.tables[number]
    second = number != min(contents.tables)
    tables = [score_table(table, name=f"table{number}", caption=contents.captions[number], second=second)]
    notes = []
    if contents.is_beside_paper(number):
        same, total = agreement(table, number=number)
        notes.append(f"{same} of {total} numbers of the paper are the same; what differs is bold.")
        beside = beside_paper(table, number=number)
        tables.append(replace(beside, caption=f"Table {number}: the paper and this run."))
    return Section(f"Table {number}", tables=tables, notes=notes)


def _controls(contents: Contents) -> list[Section]:
    """TC with and without oedema, and the rule TC := WT."""
    sections = []
    if len(contents.strata):
        caption = marked(contents.models, strata.CAPTION)
        table = strata.strata_page_table(contents.strata, caption=caption)
        sections.append(Section("TC with and without oedema", tables=[table]))
    if len(contents.core_rule):
        caption = marked(contents.models, core_rule.CAPTION)
        table = core_rule.rule_page_table(contents.core_rule, caption=caption)
        sections.append(
            Section("The rule TC := WT", [core_rule.READING], tables=[table], pictures=contents.core_rule_pictures)
        )
    return sections


def _postprocessing(contents: Contents) -> Section:
    found = contents.postprocessing
    tables = [postprocessing_page_table(found, caption=contents.postprocessing_caption)] if len(found) else []
    return Section("Post-processing", tables=tables, notes=contents.postprocessing_notes)


def _choice(contents: Contents, pictures: Pictures) -> Section:
    """Ranks by validators; empty where nothing is ranked."""
    return (
        ranking_section(contents.ranking, pictures.sweeps) if contents.ranking else Section("Choosing without labels")
    )


def _groups(models: Sequence[Model]) -> str:
    """Which models are ranked together."""
    found = {group: [m.name for m in models if group_of(m.name) == group] for group in [*GROUPS, "other models"]}
    texts = [f"{group} ({', '.join(names)})" for group, names in found.items() if names]
    return f"Groups, each with its own best values, as in the paper's Table 2: {'; '.join(texts)}."


def _absent(sizes: pd.DataFrame) -> list[str]:
    """In how many cases each tissue is absent."""
    lines = []
    for cohort, rows in sizes.groupby("cohort"):
        counts = ", ".join(f"{tissue.upper()} in {int((rows[tissue] == 0).sum())}" for tissue in TISSUES)
        lines.append(f"Absent from the labels of cohort {cohort} ({len(rows)} cases): {counts}.")
    return lines


def _comparisons(contents: Contents) -> list[Table]:
    table = contents.comparisons
    return [comparisons_table(table, caption=marked(contents.models, "Every two models."))] if len(table) else []


def cases_table(models: Sequence[Model]) -> Table:
    """Every case of every model: Dice, HD95, volume and its error by region."""
    heads = ["model", "case"]
    heads += [f"{title} {region.upper()}" for title in CASE_COLUMNS for region in REGIONS]
    rows = []
    for model in models:
        wide = _with_error(model.scores).pivot_table(index="case", columns="region", values=CASE_VALUES, dropna=False)
        columns = [(value, region) for value in CASE_VALUES for region in REGIONS]
        table = wide.reindex(columns=pd.MultiIndex.from_tuples(columns))
        for case, values in zip(table.index, table.to_numpy(), strict=True):
            cells = [
                number(float(value), CASE_DIGITS[column], signed=column == "volume_error_ml")
                for (column, _), value in zip(columns, values, strict=True)
            ]
            rows.append([Cell(model.name), Cell(str(case)), *cells])
    text = "Every case of every model. Volume: of the label, in ml; error: of the predicted volume, predicted − label."
    return Table("cases", marked(models, text), heads, rows)


def _with_error(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores with volumes in ml; NaN where the scores have none."""
    label, predicted = (
        scores.get(f"{name}_volume_mm3", pd.Series(math.nan, index=scores.index)) / MM3_PER_ML
        for name in ("label", "prediction")
    )
    return scores.assign(volume_ml=label, volume_error_ml=predicted - label)
