"""Volumes of predicted regions, for cases that nobody has labelled."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pedseg.errors import PedsegError
from pedseg.imaging import read_volume
from pedseg.imaging.nifti import integer_label
from pedseg.labels import LabelConvention, Region, regions_from_labels
from pedseg.metrics import connected_parts

COLUMNS = ("case", "region", "volume_mm3", "components", "largest_mm3")


def measure_volumes(label_maps: Mapping[str, Path], convention: LabelConvention) -> pd.DataFrame:
    """Measure label maps.

    Args:
        label_maps: file by case.
        convention: of their labels.

    Returns:
        A row per case and region: ``volume_mm3``, ``components`` (26-connected) and ``largest_mm3``, the volume of the
        largest of them.

    Raises:
        PedsegError: a file cannot be read.
    """
    rows = [row for case, path in label_maps.items() for row in _measure(case, path, convention)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _measure(case: str, path: Path, convention: LabelConvention) -> list[dict[str, object]]:
    volume = read_volume(path)
    regions = regions_from_labels(integer_label(volume.data, path), convention)
    depth, height, width = volume.spacing_mm
    voxel = depth * height * width
    if not voxel > 0:
        raise PedsegError(f"{path}: a voxel of {voxel:g} mm³ has no volume; mend the header")
    rows: list[dict[str, object]] = []
    for region, mask in zip(Region, regions, strict=True):
        sizes = connected_parts(mask)
        largest = int(sizes.max()) if len(sizes) else 0
        volumes = {"volume_mm3": int(mask.sum()) * voxel, "components": len(sizes), "largest_mm3": largest * voxel}
        rows.append({"case": case, "region": region.value, **volumes})
    return rows
