"""Where tumours sit and how they grow."""

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from pedseg.labels import CONVENTIONS, regions_from_labels
from pedseg.phantom.anatomy import Anatomy, brats_grid, load_atlas, make_anatomy
from pedseg.phantom.sizes import Sizes
from pedseg.phantom.tumour import SITES, choose_centre, choose_site, grow_tumour, mass_effect

SPACING = 4.0


def grow(cohort: str, sizes: Sizes, centre: tuple[float, float, float]) -> tuple[Anatomy, NDArray[np.bool_]]:
    rng = np.random.default_rng(0)
    at = np.array(centre)
    bulge = mass_effect(at, sizes, rng)
    brain = make_anatomy(load_atlas(SPACING), brats_grid(SPACING), rng, bulge=bulge)
    label = grow_tumour(brain, sizes, rng, rim=cohort == "adult", centre=at)
    return brain, regions_from_labels(label, CONVENTIONS["brats2023"])


@pytest.mark.parametrize(
    ("cohort", "sizes"),
    [
        ("adult", Sizes(wt=150e3, tc=60e3, et=15e3)),
        ("adult", Sizes(wt=30e3, tc=1e3, et=0)),
        ("ped", Sizes(wt=40e3, tc=40e3, et=5e3)),
        ("ped", Sizes(wt=150e3, tc=120e3, et=0)),
    ],
)
def test_volumes_are_the_drawn_ones(cohort: str, sizes: Sizes) -> None:
    brain, (wt, tc, et) = grow(cohort, sizes, (35, -20, 30))
    found = [region.sum() for region in (wt, tc, et)]
    assert found == [round(v / SPACING**3) for v in (sizes.wt, sizes.tc, sizes.et)]
    assert not (et & ~tc).any()
    assert not (tc & ~wt).any()
    assert not (wt & ~brain.brain).any()


def test_adult_enhancement_is_a_rim_and_oedema_follows_white_matter() -> None:
    brain, (wt, tc, et) = grow("adult", Sizes(wt=150e3, tc=60e3, et=20e3), (35, -20, 30))
    centre = np.argwhere(tc).mean(0)
    distance = [np.linalg.norm(np.argwhere(part) - centre, axis=1).mean() for part in (et, tc & ~et)]
    assert distance[0] > 1.2 * distance[1]
    oedema = wt & ~tc
    ring = brain.brain & ~wt & (np.abs(brain.mni[0] - 35) < 45)
    assert brain.white[oedema].mean() > 1.2 * brain.white[ring].mean()


def test_a_brainstem_tumour_stays_around_the_brainstem() -> None:
    brain, (wt, _, _) = grow("ped", Sizes(wt=30e3, tc=30e3, et=0), (2, -27, -33))
    x, y, z = (axis[wt] for axis in brain.mni)
    assert np.percentile(np.abs(x), 90) < 25
    assert -50 < y.mean() < -10
    assert z.mean() < -10


def test_sites_have_their_shares() -> None:
    draws = (np.arange(2000) + 0.5) / 2000
    counts = Counter(choose_site("ped", float(d))[0] for d in draws)
    assert counts["brainstem"] / 2000 == pytest.approx(145 / 261, abs=0.01)
    assert counts["white matter"] / 2000 == pytest.approx(79 / 261, abs=0.01)
    assert counts["cerebellum"] / 2000 == pytest.approx(12 / 261, abs=0.01)
    assert sum(site.share for site in SITES["ped"].values()) == pytest.approx(1)


def test_adult_tumours_start_above_the_tentorium() -> None:
    atlas, rng = load_atlas(8.0), np.random.default_rng(0)
    centres = np.array([choose_centre(choose_site("adult", rng.random())[1], atlas, rng) for _ in range(200)])
    assert (np.abs(centres[:, 0]) > 14).all()
    assert (centres[:, 2] > -24).all()
    assert 0.35 < (centres[:, 0] > 0).mean() < 0.65
