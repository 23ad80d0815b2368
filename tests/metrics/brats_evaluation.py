"""Runs brats-evaluation (AGPL-3.0) in a process of the peers' environment; nothing of it is imported here."""

import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pedseg.labels import get_convention, labels_from_regions

CONVENTION = get_convention("brats_ped2024")  # that of its settings for BraTS-PEDs
COLUMNS = {
    "dice": "global_dsc",
    "hd95_mm": "global_hd95",
    "surface_dice": "global_nsd",
    "lesionwise_dice": "lesionwise_dsc_mean",
    "lesionwise_hd95_mm": "lesionwise_hd95_mean",
    "lesionwise_surface_dice": "lesionwise_nsd_mean",
    "lesionwise_f1": "all_instance_f1",
}
COMMANDS = """
import sys
from brats_evaluation import evaluation, metrics_parser
folder = sys.argv[1]
sys.argv = ["brats-evaluate", "--config", "ped", "--ref_path", folder + "/labels", "--pred_path",
            folder + "/predictions", "--summary_json", folder + "/all.json"]
evaluation.main()
sys.argv = ["brats-parse-metrics", "seg", "--json_path", folder + "/all.json", "--output_csv_path",
            folder + "/scores.csv"]
metrics_parser.main()
"""
Regions = NDArray[np.bool_]
Spacing = tuple[float, float, float]


def write_case(folder: Path, number: int, prediction: Regions, label: Regions, spacing_mm: Spacing) -> None:
    """Write region masks (3, Z, Y, X) with voxels of `spacing_mm` (z, y, x) as two files."""
    for name, regions in (("predictions", prediction), ("labels", label)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        data = labels_from_regions(regions, CONVENTION).transpose()
        nib.save(nib.Nifti1Image(data, np.diag([*spacing_mm[::-1], 1.0])), folder / name / f"{number:05d}.nii.gz")


def evaluate(python: Path, folder: Path) -> dict[tuple[int, str], dict[str, float]]:
    """Score all cases of the folder by its two commands: metrics under our names, by number of the case and region."""
    done = subprocess.run([python, "-c", COMMANDS, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(folder / "scores.csv")
    return {
        (int(row["subject_id"].partition(".")[0]), region): {
            ours: float(row[f"{theirs}_{region}"]) for ours, theirs in COLUMNS.items()
        }
        for row in table.to_dict("records")
        if row["subject_id"].endswith(".nii.gz")  # and not the mean, standard deviation and median below
        for region in ("wt", "tc", "et")
    }
