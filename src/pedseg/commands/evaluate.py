"""Score label maps: ``pedseg evaluate --predictions DIR --labels DIR --output scores.csv``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    import pandas as pd

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
        help="folder of cases in any layout, or of labels <case id>.nii.gz or <case id>-seg.nii.gz",
    )
    add_output(p, "CSV", "written with a row per case and region")
    p.add_argument("--convention", default="brats2023", help="voxel labels of the labels (default: %(default)s)")
    p.add_argument("--prediction-convention", help="voxel labels of the predictions (default: as the labels)")
    p.add_argument(
        "--definition",
        default="brats2023",
        help="of the metrics: brats2023 (the paper's), or brats2025 as brats-evaluation computes them "
        "(default: %(default)s)",
    )
    p.add_argument(
        "--surface-tolerance",
        type=float,
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

    from pedseg.evaluation.pairing import pair_folder
    from pedseg.evaluation.scoring import Conventions, score_pairs, write_scores
    from pedseg.labels import get_convention

    label = get_convention(arguments.convention)
    prediction = get_convention(arguments.prediction_convention or arguments.convention)
    pairs = pair_folder(arguments.predictions, arguments.labels, subset=arguments.subset)
    table, problems = score_pairs(
        pairs,
        Conventions(prediction, label),
        definition=arguments.definition,
        tolerance_mm=arguments.surface_tolerance,
        workers=arguments.workers,
    )
    if table.empty:
        raise ProblemsError(f"none of {len(pairs)} cases can be scored:", problems)
    write_scores(table, arguments.output)
    tolerance = table["surface_tolerance_mm"].iloc[0]
    print(f"definition {arguments.definition}, surface Dice within {tolerance:g} mm")
    print(summarise(table))
    print(f"{table['case'].nunique()} of {len(pairs)} cases in {arguments.output}")
    return tell(problems, f"{len(problems)} cases could not be scored and are not in the output:")


def summarise(table: "pd.DataFrame") -> str:
    """Mean and median by region of each metric that has its raw value beside it, as aligned text."""
    metrics = [column.removeprefix(RAW) for column in table.columns if column.startswith(RAW)]
    summary = table.groupby("region", sort=False)[metrics].agg(["mean", "median"])
    return summary.to_string(float_format=lambda value: f"{value:.4f}")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, 1 if some cases failed, 2 if nothing could be scored."""
    return run(parser(), evaluate, argv)
