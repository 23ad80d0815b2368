"""Tables and pictures of trained models: ``pedseg report runs --output report``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.arguments import natural, number
from pedseg.commands.options import (
    add_output,
    add_overwrite,
    add_validator,
    command,
    left_out,
    run,
)
from pedseg.errors import PedsegError
from pedseg.files import write_json, write_text
from pedseg.locks import writing
from pedseg.pages import PAGE, PAGE_FILES, VOLUMES
from pedseg.sinks import csv_text

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    import pandas as pd

    from pedseg.pages.document import Picture
    from pedseg.reporting.page import Contents
    from pedseg.reporting.rows import Model

TEXTS = ("statistics.json", "statistics.md")
POSTPROCESSING = "postprocessing.csv"  # only where runs have been post-processed
RANKING = ("validators.md", "validators.csv")  # only where runs have been validated
STRATA = "strata.csv"  # only where sizes are known
CORE_RULE = "core_rule.csv"  # only where scores have sensitivities, too
FILES = (
    *PAGE_FILES,
    *TEXTS,
    POSTPROCESSING,
    *RANKING,
    STRATA,
    CORE_RULE,
    *(f"table{number}.{ending}" for number in (2, 3) for ending in ("md", "tex", "csv")),
)
FIRST_TABLE = 2  # its second-best values are not marked, as in the paper


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = command(
        "report",
        "The paper's Tables 2 and 3, paired statistics, box plots, training curves and example slices; and "
        "a table of post-processing beside them. Of runs that `pedseg validate` has scored without labels, a "
        "ranking by these scores, and a heat map where they are a sweep over alpha and lambda.",
    )
    p.add_argument(
        "sources",
        nargs="+",
        type=Path,
        metavar="RUN_OR_CSV",
        help="folder of runs, of one experiment or of one fold; CSV file of scores per case, or a folder of them",
    )
    add_output(p, "DIR", "for index.html, tables and figures")
    p.add_argument("--images", type=Path, metavar="DIR", help="cases for the slices (default: where the runs are from)")
    p.add_argument("--labels", type=Path, metavar="DIR", help="their labels, if not beside the images")
    p.add_argument(
        "--view", type=natural, default=6, metavar="N", help="cases in the viewer (default: %(default)s; 0: no viewer)"
    )
    p.add_argument(
        "--sizes",
        nargs="+",
        type=Path,
        default=[],
        metavar="CSV",
        help="tissue sizes by case (default: the label volumes in the scores, or such a file beside the CSV files)",
    )
    p.add_argument(
        "--min-et-mm3", type=number, default=60.0, metavar="V", help="Table 3 drops cases below (default: %(default)g)"
    )
    add_validator(p, "score of the heat map")
    add_overwrite(p, "replace files in DIR that no report wrote")
    return p


def report(arguments: argparse.Namespace) -> None:
    """Write the report; print Table 2 and where the report and its pictures are.

    Raises:
        PedsegError: there is nothing to report, an input cannot be read, or a file in the way is not a report's.
    """
    with writing(arguments.output, within=("figures", VOLUMES)):
        if _only_validated(arguments.sources):
            report_ranking(arguments)
        else:
            report_scores(arguments)


def report_scores(arguments: argparse.Namespace) -> None:
    """Write the report on scores, as `report`."""
    from dataclasses import replace

    from pedseg.ownership import check_folder, record
    from pedseg.pages.render import write_page
    from pedseg.reporting.case_folders import CaseFolders
    from pedseg.reporting.figures.heat_maps import draw_heat_maps
    from pedseg.reporting.figures.pictures import draw_pictures
    from pedseg.reporting.headline import first_model
    from pedseg.reporting.look import viewer_of
    from pedseg.reporting.page import report_document
    from pedseg.reporting.rows import load_models
    from pedseg.reporting.tables import printed

    output: Path = arguments.output
    models = load_models(arguments.sources)
    check_folder(output, FILES, overwrite=arguments.overwrite, within="figures")
    contents = compute(models, arguments)
    folders = CaseFolders(arguments.images, arguments.labels)
    pictures = draw_pictures(
        models,
        output / "figures",
        folders=folders,
        sizes=contents.sizes,
        small=contents.small,
        min_et_mm3=arguments.min_et_mm3,
    )
    if len(contents.core_rule):
        contents = replace(contents, core_rule_pictures=[draw_core_rule(contents, output / "figures")])
    if contents.ranking:
        pictures.sweeps = draw_heat_maps(contents.ranking, output / "figures", validator=arguments.validator)
    first, _ = first_model([model.name for model in models], contents.ranking, validator=arguments.validator)
    viewer = viewer_of(models, first, folders, most=arguments.view)
    document = report_document(contents, pictures, validator=arguments.validator, viewer=viewer)
    drawn = [file for picture in (*pictures.all, *contents.core_rule_pictures) for file in picture.files]
    record(output, [*write(contents, output), *write_page(document, output), *drawn])
    print(f"{contents.captions[2]}\n{printed(contents.tables[2]).to_string()}")
    print(f"report: {output / PAGE}")


def report_ranking(arguments: argparse.Namespace) -> None:
    """Write the ranking alone, for runs on cases without labels.

    Raises:
        PedsegError: fewer than two runs can be ranked, or a file in the way is not a report's.
    """
    from pedseg.ownership import check_folder, record
    from pedseg.pages.render import write_page
    from pedseg.reporting.figures.heat_maps import draw_heat_maps
    from pedseg.reporting.ranking import find_members, rank_members
    from pedseg.reporting.ranking_table import ranking_document, write_ranking

    ranking = rank_members(find_members(arguments.sources))
    if ranking is None:
        raise PedsegError("there are no scores of labelled cases and fewer than two validated models; train more")
    output: Path = arguments.output
    check_folder(output, FILES, overwrite=arguments.overwrite, within="figures")
    pictures = draw_heat_maps(ranking, output / "figures", validator=arguments.validator)
    page = write_page(ranking_document(ranking, pictures), output)
    record(output, [*write_ranking(ranking, output), *page, *(file for one in pictures for file in one.files)])
    print(f"report: {output / PAGE}")


def compute(models: "Sequence[Model]", arguments: argparse.Namespace) -> "Contents":
    """Make the tables and the comparisons."""
    import pandas as pd

    from pedseg.reporting.core_rule import rule_table
    from pedseg.reporting.page import Contents, table_captions
    from pedseg.reporting.postprocessing_table import postprocessing_table
    from pedseg.reporting.ranking import find_members, rank_members
    from pedseg.reporting.rows import runs_without_curves, runs_without_scores
    from pedseg.reporting.sizes import small_cases
    from pedseg.reporting.statistics import compare_models
    from pedseg.reporting.strata import strata_table
    from pedseg.reporting.tables import summarise

    missing = runs_without_scores(arguments.sources)
    notes = [f"Not in the tables, as they have no scores: {', '.join(missing)}."] if missing else []
    for folder in runs_without_curves(models):
        notes.append(f"The training curves of {folder.path} are not drawn: it has no metrics.csv.")
        left_out(folder.metrics, "there is no such file, and the run's curves are not drawn")
    limit: float = arguments.min_et_mm3
    sizes = _sizes(models, arguments)
    small = small_cases(sizes, below_mm3=limit)
    tables = {2: summarise(models)}
    comparisons = [compare_models(models)]
    if len(sizes):
        tables[3] = summarise(models, without=small)
        unknown = frozenset.union(*(model.cases for model in models)) - set(sizes.index)
        if unknown:
            notes.append(f"The sizes of {len(unknown)} cases are not known ({min(unknown)} …); Table 3 keeps them.")
    else:
        notes.append("There is no Table 3, as the scores have no label volumes: give a file of them as --sizes CSV.")
    if small:
        comparisons.append(compare_models(models, without=small, population=f"ET ≥ {limit:g} mm³"))
    captions = table_captions(models, small=len(small), min_et_mm3=limit)
    paired = pd.concat(comparisons, ignore_index=True)
    ranking = rank_members(find_members(arguments.sources, models), models)
    return Contents(
        models,
        tables,
        captions,
        paired,
        sizes,
        small,
        notes,
        *postprocessing_table(models),
        ranking,
        rule_table(models, sizes),
        strata_table(models, sizes),
    )


def draw_core_rule(contents: "Contents", folder: Path) -> "Picture":
    """Draw the rule TC := WT beside the models."""
    from pedseg.reporting.core_rule import CAPTION
    from pedseg.reporting.figures.core_rule import core_rule_figure
    from pedseg.reporting.figures.style import save
    from pedseg.reporting.rows import marked

    table = contents.core_rule
    figure = core_rule_figure(table, title=marked(contents.models, "The rule TC := WT"))
    return save(figure, folder / "core_rule", caption=marked(contents.models, CAPTION), data=table)


def write(contents: "Contents", output: Path) -> list[Path]:
    """Write tables and statistics, and return the paths."""
    from pedseg.reporting.core_rule import CAPTION
    from pedseg.reporting.postprocessing_table import postprocessing_csv
    from pedseg.reporting.ranking_table import write_ranking
    from pedseg.reporting.rows import marked
    from pedseg.reporting.statistics import comparisons_table, to_records
    from pedseg.reporting.tables import write_table

    written = [
        path
        for number, table in contents.tables.items()
        for path in write_table(
            table, output, name=f"table{number}", caption=contents.captions[number], second=number != FIRST_TABLE
        )
    ]
    write_json(
        output / "statistics.json",
        {"synthetic": contents.synthetic, "comparisons": to_records(contents.comparisons)},
    )
    if len(contents.postprocessing):
        text = postprocessing_csv(contents.postprocessing, caption=contents.postprocessing_caption)
        write_text(output / POSTPROCESSING, text)
        written.append(output / POSTPROCESSING)
    if len(contents.core_rule):
        caption = marked(contents.models, CAPTION)
        write_text(output / CORE_RULE, csv_text(contents.core_rule.assign(caption=caption)))
        written.append(output / CORE_RULE)
    if len(contents.strata):
        write_text(output / STRATA, csv_text(contents.strata))
        written.append(output / STRATA)
    if contents.ranking:
        written += write_ranking(contents.ranking, output)
    caption = marked(contents.models, "Every two models.")
    write_text(output / "statistics.md", comparisons_table(contents.comparisons, caption=caption).markdown())
    return [*written, *(output / name for name in TEXTS)]


def _only_validated(sources: Sequence[Path]) -> bool:
    """Whether the sources are folders with runs that have been validated, none of which has scores."""
    folders = [source for source in sources if source.is_dir()]
    if len(folders) < len(sources) or any(next(folder.rglob("*scores*.csv"), None) for folder in folders):
        return False
    return any(next(folder.rglob("validators.json"), None) for folder in folders)


def _sizes(models: "Sequence[Model]", arguments: argparse.Namespace) -> "pd.DataFrame":
    """Sizes from the files given, else from the scores, else from a file beside these."""
    from pedseg.reporting.sizes import find_sizes, read_sizes, sizes_of

    if arguments.sizes:
        return read_sizes(arguments.sizes)
    sizes = sizes_of(models)
    return sizes if len(sizes) else read_sizes(find_sizes(arguments.sources))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, or 2 if there is nothing to report."""
    return run(parser, report, argv)
