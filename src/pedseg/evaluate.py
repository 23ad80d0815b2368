"""Score label maps: ``python -m pedseg.evaluate --predictions DIR --labels DIR --output scores.csv``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pedseg.configuration import exit_code
from pedseg.errors import PedsegError


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(
        prog="python -m pedseg.evaluate",
        description="Dice, HD95 (mm), sensitivity and specificity of WT, TC and ET, by the BraTS 2023 definitions.",
    )
    p.add_argument("--predictions", type=Path, required=True, help="folder of <case id>.nii.gz")
    p.add_argument("--labels", type=Path, required=True, help="folder of cases in any layout, or of label maps")
    p.add_argument("--output", type=Path, required=True, help="CSV to write, a row per case and region")
    p.add_argument("--convention", default="brats2023", help="voxel labels of the labels (default: %(default)s)")
    p.add_argument("--prediction-convention", help="of the predictions (default: that of the labels)")
    p.add_argument("--workers", type=int, help="processes (default: one per core)")
    p.add_argument("--overwrite", action="store_true", help="replace an existing output")
    return p


def evaluate(arguments: argparse.Namespace) -> None:
    """Score the folder, write the CSV and print the means."""
    if arguments.output.exists() and not arguments.overwrite:
        raise PedsegError(f"{arguments.output} exists; give another --output, or --overwrite")
    if not arguments.predictions.is_dir():
        raise PedsegError(f"{arguments.predictions}: no such folder of label maps")

    from pedseg.analysis.scoring import score_folder
    from pedseg.labels import get_convention

    given = arguments.prediction_convention
    table = score_folder(
        arguments.predictions,
        arguments.labels,
        output=arguments.output,
        convention=get_convention(arguments.convention),
        prediction_convention=get_convention(given) if given else None,
        workers=arguments.workers,
    )
    metrics = ["dice", "hd95_mm", "sensitivity", "specificity"]
    summary = table.groupby("region", sort=False)[metrics].agg(["mean", "median"])
    print(summary.round(3).to_string())
    print(f"{table['case'].nunique()} cases in {arguments.output}")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, or 2 if the folders cannot be scored."""
    arguments = parser().parse_args(argv)
    return exit_code(lambda: evaluate(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
