"""What was made: the table of sizes and the picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from pedseg.files import atomic_path
from pedseg.labels import Modality, Region
from pedseg.phantom.cohort import CohortSettings, case_files, measure_cohort
from pedseg.phantom.sizes import kolmogorov_smirnov, size_model

_PERCENTILES = (5, 25, 50, 75, 95)
_SHOWN = 4  # cases of each cohort in the picture
_COLOURS = np.array([[0, 0, 0, 0], [0.9, 0.25, 0.2, 0.75], [0.3, 0.8, 0.35, 0.6], [0.25, 0.5, 1, 0.8]])  # by label

Cohorts = Sequence[tuple[CohortSettings, int]]  # settings and number of cases


def print_sizes(output: Path, cohorts: Cohorts, *, first: int = 0) -> None:
    """Print quantiles of the region sizes above those of the population, and their Kolmogorov-Smirnov distance."""
    table = Table(title="Region sizes in cm³, made and wanted")
    for heading in ("cohort", "region", "absent", *(f"{p} %" for p in _PERCENTILES), "KS"):
        table.add_column(heading, justify="left" if heading in ("cohort", "region") else "right", no_wrap=True)
    for settings, cases in cohorts:
        if settings.labelled:
            measured = measure_cohort(output / settings.cohort, settings, cases=cases, first=first)
            for region, volumes in measured.items():
                _add_sizes(table, settings, region, volumes)
        else:
            table.add_row(settings.cohort, "no labels")
        table.add_section()
    Console().print(table)


def _add_sizes(table: Table, settings: CohortSettings, region: Region, volumes: NDArray[np.float64]) -> None:
    published = size_model(settings.traits.population).published[region]
    made = [f"{np.percentile(volumes, p) / 1000:.1f}" for p in _PERCENTILES]
    wanted = [f"{published.at(p / 100) / 1000:.1f}" for p in _PERCENTILES]
    distance = f"{kolmogorov_smirnov(volumes, published):.2f}"
    table.add_row(settings.cohort, region.upper(), f"{(volumes == 0).mean():.0%}", *made, distance)
    table.add_row("", "wanted", f"{published.probabilities[0]:.0%}", *wanted, style="dim")


def draw_preview(output: Path, cohorts: Cohorts, *, first: int = 0) -> Path:
    """Draw a few cases of each cohort, evenly chosen: four sequences and the label, into ``preview.png``."""
    rows = [
        (settings, first + cases * row // min(cases, _SHOWN))
        for settings, cases in cohorts
        for row in range(min(cases, _SHOWN))
    ]
    columns = len(Modality) + 1
    figure = Figure(figsize=(2 * columns, 2.4 * max(len(rows), 1)), facecolor="black", layout="constrained")
    axes = figure.subplots(max(len(rows), 1), columns, squeeze=False)
    for line, (settings, index) in zip(axes, rows, strict=False):
        folder = output / settings.cohort / settings.case_id(index)
        arrays = [np.asarray(nib.load(folder / name).dataobj) for name in case_files(settings, index)]
        arrays = [array[_square(arrays[0])] for array in arrays]
        z = _slice(arrays, labelled=settings.labelled)
        for axis, image, name in zip(line, [*arrays[:4], arrays[3]], [*Modality, "label"], strict=True):
            _show(axis, image, z)
            axis.set_title(f"{settings.case_id(index)} {name}", color="white", fontsize=6)
        if settings.labelled:
            line[-1].imshow(_COLOURS[arrays[4][:, :, z].T], interpolation="nearest")
    with matplotlib.rc_context({"image.interpolation": "nearest"}), atomic_path(output / "preview.png") as path:
        figure.savefig(path, dpi=110)
    return output / "preview.png"


def _square(image: NDArray[Any]) -> tuple[slice, slice]:
    """Square in the axial plane around the brain, with a margin."""
    used = [np.flatnonzero(image.any(axis=axes)) for axes in ((1, 2), (0, 2))]
    half = round(0.54 * max(ends[-1] - ends[0] + 1 for ends in used))
    middles = [int(ends[0] + ends[-1]) // 2 for ends in used]
    x, y = (slice(max(middle - half, 0), middle + half) for middle in middles)
    return x, y


def _slice(arrays: Sequence[NDArray[Any]], *, labelled: bool) -> int:
    """Axial slice with most core, or the middle one of the brain."""
    if labelled:
        weight = (arrays[4] > 0).sum(axis=(0, 1)) + 3 * np.isin(arrays[4], (1, 3)).sum(axis=(0, 1))
        return int(weight.argmax())
    used = np.flatnonzero(arrays[0].any(axis=(0, 1)))
    return int(used[len(used) // 2])


def _show(axis: Axes, image: NDArray[Any], z: int) -> None:
    brain = image[image > 0]
    low, high = np.percentile(brain, [0.5, 99.7])
    axis.imshow(image[:, :, z].T, cmap="gray", vmin=min(low, high * 0.1), vmax=high, interpolation="nearest")
    axis.set_axis_off()
