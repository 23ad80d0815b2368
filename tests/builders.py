"""Tiny cases and checkpoints on disk, for several test modules."""

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from pedseg.inference.checkpoint import describe
from pedseg.networks import build

MODALITIES = ("t1n", "t1c", "t2w", "t2f")
AFFINE = np.array([[-1.0, 0.1, 0, 20], [0.1, -1.0, 0, 30], [0, 0, 1.0, -5], [0, 0, 0, 1]])


def write_case(root: Path, case_id: str, *, shape: Sequence[int] = (20, 18, 19), seed: int = 0) -> Path:
    """Write a case of random voxels in the 2023 layout: a block that is not 0 in a border of 0."""
    rng = np.random.default_rng(seed)
    folder = root / case_id
    folder.mkdir(parents=True)
    for modality in MODALITIES:
        data = np.zeros(shape, dtype=np.int16)
        data[2:-1, 1:-2, 1:-1] = rng.integers(1, 900, [n - 3 if i < 2 else n - 2 for i, n in enumerate(shape)])
        nib.save(nib.Nifti1Image(data, AFFINE), folder / f"{case_id}-{modality}.nii.gz")
    return folder


def write_checkpoint(
    path: Path,
    *,
    seed: int = 0,
    patch_size: Sequence[int] = (16, 16, 16),
    network: str = "unet",
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
) -> Path:
    """Write a checkpoint of a random tiny network of the kind `network`, as a run would."""
    torch.manual_seed(seed)
    settings = {"name": network, "base_features": 4, "max_features": 8}
    built = build(settings, patch_size=patch_size, spacing_mm=tuple(spacing_mm))
    weights = {f"network.{name}": value for name, value in built.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"pedseg": describe(built), "state_dict": {**weights, "classifier.x": torch.ones(1)}}, path)
    return path
