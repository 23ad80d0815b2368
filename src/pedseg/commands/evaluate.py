"""Score label maps: ``pedseg evaluate --predictions DIR --labels DIR --output scores.csv``."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.arguments import number
from pedseg.commands.options import (
    add_output,
    add_overwrite,
    add_workers,
    check_file,
    command,
    run,
    tell,
)
from pedseg.errors import ProblemsError
from pedseg.locks import writing_file

if TYPE_CHECKING:
    import pandas as pd

    from pedseg.cases.label_maps import Known
    from pedseg.evaluation.agreement import Confusion

RAW = "raw_"  # begins the column beside that of a metric


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = command(
        "evaluate",
        "Dice, HD95 (mm), sensitivity, specificity and surface Dice of WT, TC and ET, also by lesion.",
        epilog="Exit code: 0; 1 if some cases could not be scored (the others are); 2 if nothing was.",
    )
    p.add_argument("--predictions", type=Path, required=True, metavar="DIR", help="folder of <case id>.nii.gz")
    p.add_argument(
        "--labels",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of cases in any layout, table of them, or folder of labels <case id>.nii.gz, <case id>-seg.nii.gz",
    )
    add_output(p, "CSV", "written with a row per case and region")
    p.add_argument(
        "--convention",
        help="voxel labels of the labels, a name or as in '{et: 3, nc: 1, ed: 2, ignore: 4}' (default: as recorded "
        "beside them, or brats2023)",
    )
    p.add_argument(
        "--prediction-convention",
        metavar="CONVENTION",
        help="voxel labels of the predictions (default: as predictions.json or rules.json beside them says, or as the "
        "labels)",
    )
    p.add_argument(
        "--definition",
        default="brats2023",
        help="of the metrics: brats2023 (the paper's), or brats2025 as brats-evaluation computes them "
        "(default: %(default)s)",
    )
    p.add_argument(
        "--surface-tolerance",
        type=number,
        metavar="MM",
        help="distance up to which surfaces count as the same in the surface Dice (default: the definition's, 1 mm in "
        "brats2023)",
    )
    p.add_argument("--subset", action="store_true", help="leave out labels that have no prediction")
    add_workers(p)
    add_overwrite(p, "replace an existing output")
    return p


def evaluate(arguments: argparse.Namespace) -> int:
    """Score the folder, write the CSV and print means and medians; 1 if some cases could not be scored."""
    check_file(arguments.output, overwrite=arguments.overwrite)
    with writing_file(arguments.output):
        return evaluate_folder(arguments)


def evaluate_folder(arguments: argparse.Namespace) -> int:
    """Score the folder, as `evaluate`."""
    from pedseg.evaluation.agreement import count_labels, settle
    from pedseg.evaluation.pairing import pair_folder
    from pedseg.evaluation.scoring import Conventions, score_pairs, write_scores

    prediction, label = _known_conventions(arguments)
    pairs = pair_folder(arguments.predictions, arguments.labels, subset=arguments.subset)
    counted, unreadable = count_labels(pairs)
    warning = settle(counted, prediction, label)
    table, problems = score_pairs(
        [one.pair for one in counted],
        Conventions(prediction.convention, label.convention),
        definition=arguments.definition,
        tolerance_mm=arguments.surface_tolerance,
        workers=arguments.workers,
    )
    problems = sorted([*unreadable, *problems], key=lambda problem: problem.case)
    if table.empty:
        raise ProblemsError(f"none of {len(pairs)} cases can be scored:", problems)
    write_scores(table, arguments.output)
    tolerance = table["surface_tolerance_mm"].iloc[0]
    print(f"definition {arguments.definition}, surface Dice within {tolerance:g} mm")
    print("\n".join(_explain(counted, prediction, label)))
    print(summarise(table))
    print(f"{table['case'].nunique()} of {len(pairs)} cases in {arguments.output}")
    if warning:
        sys.stderr.write(f"pedseg: {warning}\n")
    return tell(problems, f"{len(problems)} cases could not be scored and are not in the output:")


def _known_conventions(arguments: argparse.Namespace) -> "tuple[Known, Known]":
    """Voxel labels of predictions and labels, and who says so."""
    from pedseg.cases.label_maps import Known, known_convention

    label = known_convention(arguments.labels, arguments.convention, option="--convention")
    same = Known(label.convention, "as the labels", stated=False)
    given = arguments.prediction_convention
    prediction = known_convention(arguments.predictions, given, option="--prediction-convention", default=same)
    return prediction, label


def _explain(counted: "Sequence[Confusion]", prediction: "Known", label: "Known") -> "Iterator[str]":
    """In which voxel labels both sides were read, and why."""
    from pedseg.evaluation.agreement import values_of

    for name, known, values in zip(("predictions", "labels"), (prediction, label), values_of(counted), strict=True):
        yield f"{name} in {known.explained(frozenset().union(*values.values()))}"


def summarise(table: "pd.DataFrame") -> str:
    """Mean and median by region of each metric that has its raw value beside it, as aligned text."""
    metrics = [column.removeprefix(RAW) for column in table.columns if column.startswith(RAW)]
    summary = table.groupby("region", sort=False)[metrics].agg(["mean", "median"])
    return summary.to_string(float_format=lambda value: f"{value:.4f}")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, 1 if some cases failed, 2 if nothing could be scored."""
    return run(parser, evaluate, argv)
