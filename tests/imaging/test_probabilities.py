"""Probabilities in sixteen bits."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.special import expit

from pedseg.cases import find_cases
from pedseg.errors import PedsegError
from pedseg.imaging.probabilities import MOST, probability_codes, write_probabilities
from tests.builders import write_case


def test_they_are_as_near_as_the_bits_allow() -> None:
    logits = np.concatenate([np.linspace(-30, 30, 5001), [-1e-7, 0.0, 1e-7, 1e-30, -1e4, 1e4]]).astype(np.float32)
    stored = probability_codes(logits) / MOST
    assert np.abs(stored - expit(logits.astype(np.float64))).max() <= 1 / MOST
    assert ((stored > 0.5) == (logits > 0)).all()
    assert stored[[-2, -1]].tolist() == [0, 1]


def test_another_grid_is_refused(tmp_path: Path) -> None:
    write_case(tmp_path, "BraTS-PED-90001-000")
    case = find_cases(tmp_path, cohort="ped", labelled=False).cases[0]
    x, y, z = nib.load(case.images[0].path).shape
    with pytest.raises(PedsegError, match="does not fit"):
        write_probabilities(tmp_path / "p.nii.gz", np.zeros((3, z, y, x + 1), np.uint16), like=case.images[0])
    assert not (tmp_path / "p.nii.gz").exists()
    write_probabilities(tmp_path / "p.nii.gz", np.zeros((3, z, y, x), np.uint16), like=case.images[0])
    assert nib.load(tmp_path / "p.nii.gz").shape == (x, y, z, 3)
