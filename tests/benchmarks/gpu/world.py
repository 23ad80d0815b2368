"""What is measured on: synthetic cohorts in two sizes, prepared as any others."""

import os
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import torch

from pedseg.cases import Case, find_cases
from pedseg.errors import PedsegError
from pedseg.imaging import prepare_image, read_images

UNLABELLED = "data.cohorts.ped.labelled=false"  # the children: nothing here looks at their labels


@dataclass(frozen=True, slots=True)
class Size:
    """How large everything is.

    Attributes:
        spacing: voxel size of the cases in mm; at 1 mm they have 240 × 240 × 155 voxels.
        cases: of each cohort.
        overrides: of the configuration of a run (``pedseg train``).
        patch: edge of a patch and of a window in voxels.
        features: channels of the network's first stage, and the most of any.
        steps: training steps that are measured.
        repeats: predictions that are measured.
    """

    spacing: int
    cases: int
    overrides: tuple[str, ...]
    patch: int
    features: tuple[int, int]
    steps: int
    repeats: int


SIZES = {
    "full": Size(
        spacing=1,
        cases=4,
        overrides=("data=phantom", "cohort=synthetic", "data.batch_size=4"),
        patch=128,
        features=(32, 320),
        steps=100,
        repeats=5,
    ),
    "toy": Size(
        spacing=8,
        cases=4,
        overrides=("scale=toy", "data.batch_size=4", "data.num_workers=1"),
        patch=16,
        features=(4, 16),
        steps=2,
        repeats=1,
    ),
}


def make_world(folder: Path, size: Size, *, seed: int) -> None:
    """Write synthetic adults and children below `folder`, and their store.

    Raises:
        PedsegError: they could not be made or prepared.
    """
    from pedseg.commands.prepare import main as prepare
    from pedseg.phantom.__main__ import main as make

    number, workers = str(size.cases), str(max(1, min(size.cases, (os.cpu_count() or 2) - 1)))
    settings = {"output": str(folder), "adults": number, "children": number, "spacing": str(size.spacing)}
    settings |= {"workers": workers, "seed": str(seed)}
    with redirect_stdout(sys.stderr):  # stdout is for the table
        made = make([text for name, value in settings.items() for text in (f"--{name}", value)])
        prepared = prepare(["data=phantom", "cohort=synthetic", UNLABELLED, *paths_of(folder), f"workers={workers}"])
    if made or prepared:
        raise PedsegError(f"the synthetic cohorts in {folder} could not be prepared; see above")


def paths_of(folder: Path) -> list[str]:
    """Overrides that name the folders of a world."""
    return [f"paths.{name}={folder / name}" for name in ("adult", "ped", "store", "runs")]


def adults(folder: Path) -> list[Case]:
    """The labelled cases of a world."""
    return list(find_cases(folder / "adult", cohort="adult", labelled=True).cases)


def write_image(folder: Path) -> Path:
    """Crop and normalise the first adult, and write its image (4, D, H, W) for both programs."""
    volumes = read_images(adults(folder)[0].images)
    path = folder / "image.pt"
    torch.save(torch.from_numpy(prepare_image(volumes, spacing_mm=None).normalised()), path)
    return path
