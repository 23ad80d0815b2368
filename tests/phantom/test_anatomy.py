"""The brain and its grid."""

import numpy as np
import pytest

from pedseg.phantom.anatomy import Anatomy, Bulge, brats_grid, load_atlas, make_anatomy, random_affine

NO_BULGE = Bulge(np.zeros(3), 20.0, 0.0)


def anatomy(*, bulge: Bulge = NO_BULGE, spacing: float = 4.0) -> Anatomy:
    return make_anatomy(load_atlas(spacing), brats_grid(spacing), np.random.default_rng(0), bulge=bulge)


def test_grid_of_one_millimetre_is_that_of_brats() -> None:
    grid = brats_grid(1.0)
    assert grid.shape == (240, 240, 155)
    assert np.array_equal(grid.affine, [[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize("spacing", [2.0, 3.0, 8.0])
def test_coarse_grids_keep_the_field_of_view(spacing: float) -> None:
    fine, coarse = brats_grid(1.0), brats_grid(spacing)
    corner = np.array([-0.5, -0.5, -0.5, 1.0])  # outer corner of the first voxel
    assert np.allclose(fine.affine @ corner, coarse.affine @ corner)
    assert np.allclose(np.array(coarse.shape) * spacing, fine.shape, atol=spacing / 2)


def test_tissues_fill_the_brain() -> None:
    brain = anatomy()
    assert np.allclose(brain.white + brain.grey + brain.csf, 1, atol=1e-5)
    volume = brain.brain.sum() * 4**3 / 1e6
    assert 1.3 < volume < 2.0  # litres
    fractions = [float(t[brain.brain].mean()) for t in (brain.white, brain.grey, brain.csf)]
    assert 0.3 < fractions[0] < 0.55
    assert 0.35 < fractions[1] < 0.65
    assert 0.03 < fractions[2] < 0.2


def test_the_brain_is_inside_the_field_and_upright() -> None:
    grid = brats_grid(4.0)
    brain = anatomy()
    for used, size in zip(brain.box[:2], grid.shape[:2], strict=True):
        assert 0 < used.start < used.stop < size
    x, y, z = brain.mni
    assert (np.diff(x, axis=0) < 0).mean() > 0.99  # the first voxel is the most right one
    assert (np.diff(y, axis=1) < 0).mean() > 0.99
    assert (np.diff(z, axis=2) > 0).mean() > 0.99


def test_mass_effect_magnifies_what_it_surrounds() -> None:
    centre = np.array([0.0, -25.0, -30.0])
    plain, pushed = anatomy(), anatomy(bulge=Bulge(centre, 30.0, 0.3))
    near = [(((a.mni - centre[:, None, None, None]) ** 2).sum(0) < 12**2).sum() for a in (plain, pushed)]
    assert 1.8 < near[1] / near[0] < (1 / 0.7) ** 3


def test_affine_maps_stay_close_to_the_identity() -> None:
    scales = [np.linalg.det(random_affine(np.random.default_rng(i))[:3, :3]) for i in range(50)]
    assert 0.7 < min(scales) < max(scales) < 1.8
