"""What is looked for in the voxels of images."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.cases import ImageFile
from pedseg.errors import Severity
from pedseg.imaging.brain import inside, inside_any, value_around
from pedseg.imaging.integrity.findings import Findings
from pedseg.imaging.integrity.grids import Files, Volumes
from pedseg.imaging.nifti import Volume
from pedseg.labels import Modality

LEAST_SPREAD, MOST_SPREAD = 1e-6, 1e12  # of an image's values; beyond, single precision fails
AROUND = 0.05  # share of the volume that is background in all other images, from which on one image is compared
GOES_ON = 0.5  # share of that in which an image that has another background is none
ONE_VALUE = 0.9  # share of that which one value takes where it is a background of its own
WHOLE = 0.95  # of the volume; a brain in a box that fits it closely takes 0.6
OPTION = "data.cohorts.<name>.background, or --background"
PAIR = 2
SAMPLE = (slice(None, None, 4),) * 3  # of voxels, where a share is guessed before it is counted


def check_voxels(
    findings: Findings, file: ImageFile, modality: Modality, volume: Volume | None, background: float | None
) -> None:
    """An image has numbers everywhere, and more than one in the brain."""
    if volume is None or file.absent:
        return
    name, data = file.path.name, volume.data
    if data.dtype.kind == "f" and (count := int(data.size - np.isfinite(data).sum())):
        findings.add(name, f"{count} voxels are NaN or infinite", "export the image again, or set them to 0")
        return
    fix = "export the image again; or, for a sequence that was not taken, remove the file (predict --allow-missing)"
    least, most = data.min(), data.max()
    if least == most:
        findings.add(name, f"every voxel of {modality} is {least:g}", fix)
    elif not LEAST_SPREAD <= float(most) - float(least) <= MOST_SPREAD:
        what = f"the values of {modality} go from {least:g} to {most:g}, which are none of an image"
        findings.add(name, what, "correct scl_slope and scl_inter, or export the image again")
    elif background is not None and most <= background:
        findings.add(name, f"no voxel of {modality} is above the background {background:g}", "lower the background")
    elif _constant_inside(data[SAMPLE], background) and _constant_inside(data, background):
        findings.add(name, f"{modality} has one value wherever it is not background: a mask, no image", fix)


def _constant_inside(data: NDArray[Any], background: float | None) -> bool:
    values = data[inside(data, background)]
    return not len(values) or bool(values.min() == values.max())


def check_twins(findings: Findings, files: Files, volumes: Volumes) -> None:
    """Two modalities with the same voxels are one image under two names."""
    there = [(modality, volume) for modality, volume in volumes.items() if volume and not files[modality].absent]
    for (first, one), (second, other) in combinations(there, 2):
        middle = len(one.data) // 2
        if np.array_equal(one.data[middle], other.data[middle]) and np.array_equal(one.data, other.data):
            name = f"{files[first].path.name}, {files[second].path.name}"
            fix = "put the right image in the place of one, or remove the one that was not taken"
            findings.add(name, f"{first} and {second} have the same voxels", fix)


def check_placed(findings: Findings, files: Files, read: Volumes) -> None:
    """Say which files do not tell where they lie: readers make up different places then."""
    for modality, volume in read.items():
        if volume is not None and not volume.placed:
            what = "says nothing of its place (qform and sform codes are 0), so the usual one is assumed"
            findings.add(files[modality].path.name, what, "export it with its transform", Severity.NOTE)


def check_alone(findings: Findings, files: Files, volumes: Volumes, background: float | None) -> None:
    """Find the image that goes on where all others have ended: its background is another, or its skull is there."""
    there = {m: v.data[SAMPLE] for m, v in volumes.items() if v is not None and not files[m].absent}
    found = {modality: inside(data, background) for modality, data in there.items()}
    number = np.sum(list(found.values()), axis=0, dtype=np.int8)
    for modality, own in found.items() if len(there) > PAIR else ():
        around = (number - own) == 0
        if around.mean() < AROUND or own[around].mean() < GOES_ON:
            continue
        values, counts = np.unique(there[modality][around & own], return_counts=True)
        share, value = float(own[around].mean()), float(values[counts.argmax()])
        name, others = files[modality].path.name, "where all other images are background"
        if counts.max() > ONE_VALUE * counts.sum():
            fix = f"set it to 0 there, or say that values up to {value:g} are background ({OPTION})"
            findings.add(name, f"{modality} is {value:g} {others}", fix)
        else:
            what = f"{modality} goes on in {share:.0%} of the voxels {others}"
            findings.add(name, what, "skull-strip it as the others are", Severity.WARNING)


def check_background(findings: Findings, volumes: Sequence[Volume], background: float | None) -> None:
    """Say where nearly all of the volume counts as brain."""
    images = [volume.data for volume in volumes]
    if inside_any([image[SAMPLE] for image in images], background).mean() <= WHOLE:
        return
    share = float(inside_any(images, background).mean())
    around = value_around(images)
    fix = "skull-strip the images, and set to 0 what is background"
    if around is not None and (background is None or around > background):
        fix += f"; or say that values up to {around:g} are ({OPTION})"
    findings.add("", f"{share:.0%} of the volume counts as brain", fix, Severity.WARNING)
