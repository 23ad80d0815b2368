"""Smooth fields and the generators of cases."""

import numpy as np
import pytest

from pedseg.phantom.noise import case_generator, smooth_noise


@pytest.mark.parametrize("length", [0.5, 1.0, 3.7])
def test_every_voxel_has_unit_variance(length: float) -> None:
    rng = np.random.default_rng(0)
    fields = np.stack([smooth_noise(rng, (7, 6, 5), length=length) for _ in range(4000)])
    assert fields.dtype == np.float32
    assert np.abs(fields.mean(0)).max() < 0.08
    assert np.abs(fields.var(0) - 1).max() < 0.15


def test_neighbours_agree_within_the_length_and_not_beyond() -> None:
    field = smooth_noise(np.random.default_rng(1), (60, 60, 60), length=6)
    assert np.corrcoef(field[1:].ravel(), field[:-1].ravel())[0, 1] > 0.95
    assert abs(np.corrcoef(field[30:].ravel(), field[:-30].ravel())[0, 1]) < 0.15


def test_a_field_is_far_smaller_than_its_knots() -> None:
    assert smooth_noise(np.random.default_rng(0), (2, 1, 3), length=500).shape == (2, 1, 3)


def test_generators_differ_in_every_part_of_their_name() -> None:
    names = [(0, "adult", 0, "a"), (1, "adult", 0, "a"), (0, "ped", 0, "a"), (0, "adult", 1, "a"), (0, "adult", 0, "b")]
    draws = {case_generator(seed=s, cohort=c, index=i, purpose=p).random() for s, c, i, p in names}
    assert len(draws) == len(names)
