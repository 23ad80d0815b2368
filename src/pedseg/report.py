"""Tables and pictures of trained models: ``python -m pedseg.report runs --output report``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.configuration import exit_code
from pedseg.errors import PedsegError

if TYPE_CHECKING:  # heavy imports wait until --help is answered
    from pedseg.analysis.models import Model


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(
        prog="python -m pedseg.report",
        description="The paper's Table 2 and Table 3, statistics, box plots, training curves and example slices.",
    )
    p.add_argument("sources", nargs="+", type=Path, metavar="RUNS", help="folders of runs, or CSV files of scores")
    p.add_argument("--output", type=Path, required=True, help="folder for report.md, tables and figures")
    p.add_argument("--images", type=Path, help="cases for the slices (default: where the runs found them)")
    p.add_argument("--sizes", type=Path, help="CSV with the ET size of each case, if the scores have no volumes")
    p.add_argument(
        "--min-et-mm3", type=float, default=60.0, help="Table 3 leaves smaller ET out (default: %(default)g)"
    )
    return p


def report(arguments: argparse.Namespace) -> None:
    """Write the report and print its table."""
    from pedseg.analysis.models import enhancing_volumes, load_models, read_sizes
    from pedseg.analysis.pages import write_figures, write_page
    from pedseg.analysis.statistics import compare_models
    from pedseg.analysis.tables import printed, summarise, write_table
    from pedseg.files import write_text

    models = load_models(arguments.sources)
    sizes = read_sizes(arguments.sizes) if arguments.sizes else enhancing_volumes(models)
    small = frozenset(sizes[sizes < arguments.min_et_mm3].index)
    output: Path = arguments.output
    tables = {2: summarise(models)}
    if len(sizes):
        tables[3] = summarise(models, without=small)
    for number, table in tables.items():
        write_table(table, output, name=f"table{number}")
    statistics = compare_models(models)
    write_text(output / "statistics.json", statistics.to_json(orient="records", indent=1) + "\n")
    figures = write_figures(models, output, images=arguments.images)
    page = write_page(models, output, tables=tables, statistics=statistics, figures=figures, removed=len(small))
    print(_heading(models))
    print(printed(tables[2]).to_string())
    print(f"report: {page}\npictures: {output / 'figures'}")


def _heading(models: "Sequence[Model]") -> str:
    kind = "SYNTHETIC data, which says nothing about patients: " if any(m.synthetic for m in models) else ""
    return f"{kind}Dice and HD95 (mm) by model"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, or 2 if there is nothing to report."""
    arguments = parser().parse_args(argv)
    if arguments.output.is_file():
        return exit_code(lambda: _refuse(arguments.output))
    return exit_code(lambda: report(arguments))


def _refuse(path: Path) -> None:
    raise PedsegError(f"{path} is a file; give a folder as --output")


if __name__ == "__main__":
    raise SystemExit(main())
