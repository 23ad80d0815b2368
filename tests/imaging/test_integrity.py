"""What the check of a case tells about its label."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pedseg.cases import find_cases
from pedseg.imaging import read_images, read_label
from pedseg.imaging.integrity import check_case
from pedseg.labels import get_convention, measure_labels


def z_scores(data: NDArray[np.generic]) -> NDArray[np.float32]:
    """Of the whole volume, by what is not 0."""
    brain = data[data != 0].astype(np.float32)
    scores: NDArray[np.float32] = (data.astype(np.float32) - brain.mean()) / float(brain.std())
    return scores


def test_evidence_is_that_of_whole_volumes(toy_world: Path) -> None:
    case = find_cases(toy_world / "ped", cohort="ped", labelled=True).cases[0]
    assert case.label
    t1n, t1c, *_ = read_images(case.images)
    expected = measure_labels(read_label(case.label), z_scores(t1c.data) - z_scores(t1n.data))
    check = check_case(case, convention=get_convention("brats2023"))
    assert not check.findings
    assert check.evidence == expected
