"""Small synthetic children and runs that have predicted and scored them, for tests of the report."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pedseg.labels import get_convention, labels_from_regions, regions_from_labels
from pedseg.metrics import score_case
from pedseg.runs import RunFolder
from tests.composed import write_config

SHAPE = (24, 40, 36)
SPACING_MM = 4.0
CONVENTION = get_convention("brats2023")
TISSUES = {"t1n": (0.0, -10.0, -15.0), "t1c": (2.0, -5.0, 60.0), "t2w": (50.0, 40.0, 20.0), "t2f": (70.0, 40.0, 30.0)}


def write_children(folder: Path, case_ids: Sequence[str]) -> None:
    """Write a brain with a tumour for each case, in the 2023 layout."""
    for number, case_id in enumerate(case_ids):
        rng = np.random.default_rng(number)
        label = _tumour(centre=(12 + number % 3, 18 + 2 * number % 9, 22), radius=4.0 + number % 3)
        regions = regions_from_labels(label, CONVENTION)
        brain = _distance((12, 20, 18), (10.5, 17.5, 15.0)) < 1
        for modality, lifts in TISSUES.items():
            image = 100 + rng.normal(0, 4, SHAPE) + sum(w * r for w, r in zip(lifts, regions, strict=True))
            _write(folder / case_id / f"{case_id}-{modality}.nii.gz", (image * brain).round().astype(np.int16))
        _write(folder / case_id / f"{case_id}-seg.nii.gz", label)


def write_run(folder: Path, children: Path, *, name: str, errors: Sequence[int], adapts: bool = True) -> RunFolder:
    """Write a finished run whose prediction of the i-th child is its label moved by ``errors[i]`` voxels."""
    run = RunFolder(folder)
    rows = []
    for case, error in zip(sorted(children.iterdir()), errors, strict=False):
        label = np.asarray(nib.load(case / f"{case.name}-seg.nii.gz").dataobj).astype(np.uint8).T
        prediction = np.roll(label, error, axis=2)
        _write(run.variant("plain").path / f"{case.name}.nii.gz", prediction)
        masks = (regions_from_labels(prediction, CONVENTION), regions_from_labels(label, CONVENTION))
        rows += [{"case": case.name, **asdict(s)} for s in score_case(*masks, spacing_mm=(SPACING_MM,) * 3)]
    pd.DataFrame(rows).to_csv(run.variant("plain").scores, index=False)
    curves(adapts=adapts).to_csv(run.metrics, index=False)
    cohort = {"folder": str(children), "labelled": True, "convention": "brats2023"}
    source = {"adult": "fold", "ped": None if adapts else "fold"}
    data = {"synthetic": True, "evaluation": "ped", "cohorts": {"ped": cohort}, "source": source}
    write_config(run.path, run_name=name, data={**data, "target": ["ped"] if adapts else []})
    return run


def curves(*, adapts: bool, epochs: int = 60) -> pd.DataFrame:
    """Rows of metrics.csv, one for training and one for validation per epoch, with blanks as Lightning writes them."""
    rng = np.random.default_rng(0)
    p = np.arange(epochs) / epochs
    alpha = 3 * np.clip((p - 0.2) / 0.5, 0, 1)
    accuracy = 0.5 + 0.48 * (1 - np.exp(-12 * p)) * (1 - 0.9 * alpha / 3) + rng.normal(0, 0.015, epochs)
    train = {"train/loss_seg": 1.2 * np.exp(-4 * p) - 0.4, "train/loss": 1.2 * np.exp(-4 * p) - 0.39}
    train["train/learning_rate"] = 0.01 / (1 + 10 * p) ** 0.75
    if adapts:
        train |= {"train/alpha": alpha, "train/domain_accuracy": accuracy, "train/loss_domain": 1.4 * (1.0 - accuracy)}
        train |= {"train/source/domain_accuracy": accuracy + 0.04, "train/target/domain_accuracy": accuracy - 0.04}
        train |= {"train/gradient_seg": 2e-3 * np.exp(-p), "train/gradient_domain": 1e-3 * alpha}
    validation = {
        f"val/source/dice_{r}": top * (1 - np.exp(-6 * p)) for r, top in (("wt", 0.9), ("tc", 0.8), ("et", 0.6))
    }
    validation |= {"val/loss": np.exp(-4 * p) - 0.3, "val/source/dice_ema": 0.75 * (1 - np.exp(-3 * p))}
    steps = {"epoch": np.arange(epochs), "step": 50 * np.arange(1, epochs + 1) - 1}
    return pd.concat([pd.DataFrame({**steps, **part}) for part in (validation, train)]).sort_values(
        "step", kind="stable"
    )


def _tumour(*, centre: Sequence[float], radius: float) -> NDArray[np.uint8]:
    distance = _distance(centre, (radius, radius, radius))
    return labels_from_regions(np.stack([distance < 1.4, distance < 1.0, distance < 0.6]), CONVENTION)


def _distance(centre: Sequence[float], radii: Sequence[float]) -> NDArray[np.float64]:
    grid = np.indices(SHAPE)
    scaled = np.stack([(g - c) / r for g, c, r in zip(grid, centre, radii, strict=True)])
    distance: NDArray[np.float64] = np.linalg.norm(scaled, axis=0)
    return distance


def _write(path: Path, array: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-SPACING_MM, -SPACING_MM, SPACING_MM, 1.0])
    nib.Nifti1Image(array.T, affine).to_filename(path)
