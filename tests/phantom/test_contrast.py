"""Intensities of the cohorts, as z-scores."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pedseg.labels import Modality
from pedseg.phantom.anatomy import load_atlas
from pedseg.phantom.cohort import CohortSettings, PhantomCase, build_case
from pedseg.phantom.contrast import _CONTRAST_UNIT, ADULT, PAEDIATRIC, tumour_looks

ED, NC, ET = 2, 1, 3


def z_score(image: NDArray[np.int16]) -> NDArray[np.float64]:
    brain = image[image > 0].astype(float)
    result: NDArray[np.float64] = (image - brain.mean()) / brain.std()
    return result


@pytest.fixture(scope="module")
def cases() -> dict[str, list[PhantomCase]]:
    atlas = load_atlas(6.0)
    return {c: [build_case(atlas, CohortSettings(c, 6.0, seed=1), i) for i in range(30)] for c in ("adult", "ped")}


def contrasts(cases: list[PhantomCase], modality: Modality, value: int) -> list[float]:
    """(Class median - normal brain's median) / normal brain's interquartile range, of every case with 20 voxels."""
    found = []
    for case in cases:
        image, brain = case.images[modality], case.images[modality] > 0
        low, middle, high = np.percentile(image[brain & (case.label == 0)], [25, 50, 75])
        inside = image[case.label == value]
        if inside.size >= 20:
            found.append(float((np.median(inside) - middle) / (high - low)))
    return found


@pytest.mark.parametrize("cohort", ["adult", "ped"])
def test_images_are_positive_inside_one_brain_and_zero_outside(
    cases: dict[str, list[PhantomCase]], cohort: str
) -> None:
    for case in cases[cohort]:
        masks = [image > 0 for image in case.images.values()]
        assert all(np.array_equal(mask, masks[0]) for mask in masks)
        assert all(image.min() == 0 and image.dtype == np.int16 for image in case.images.values())
        assert not (case.label[~masks[0]]).any()


@pytest.mark.parametrize(
    ("modality", "value", "mean"),
    [
        (Modality.T1C, ET, 1.84),
        (Modality.T1C, NC, -0.41),
        (Modality.T2W, NC, 1.51),
        (Modality.T2F, NC, 2.03),
        (Modality.T2F, ED, 1.59),
        (Modality.T1N, NC, -0.11),
    ],
)
def test_adult_tissues_have_the_measured_z_scores(
    cases: dict[str, list[PhantomCase]], modality: Modality, value: int, mean: float
) -> None:
    found = [z_score(c.images[modality])[c.label == value].mean() for c in cases["adult"] if (c.label == value).any()]
    assert np.median(found) == pytest.approx(mean, abs=0.5)
    assert np.std(found) > 0.25  # cases differ as much as they do in BraTS


@pytest.mark.parametrize(
    ("modality", "value", "low", "high"),
    [  # measured contrasts (NC 0.1-1.0, ET 0.5-1.3, NC 1.2-2.7, NC 1.0-2.6) as z-scores, see _CONTRAST_UNIT
        (Modality.T1C, NC, 0.25, 1.2),
        (Modality.T1C, ET, 0.65, 1.5),
        (Modality.T2W, NC, 0.6, 1.5),
        (Modality.T2F, NC, 0.7, 2.05),
    ],
)
def test_paediatric_tissues_lie_in_the_measured_range(
    cases: dict[str, list[PhantomCase]], modality: Modality, value: int, low: float, high: float
) -> None:
    found = [z_score(c.images[modality])[c.label == value].mean() for c in cases["ped"] if (c.label == value).any()]
    assert low < np.median(found) < high


def test_the_core_of_children_looks_like_oedema_and_that_of_adults_enhances(
    cases: dict[str, list[PhantomCase]],
) -> None:
    assert np.median(contrasts(cases["adult"], Modality.T1C, ET)) > 1.4
    assert np.median(contrasts(cases["ped"], Modality.T1C, ET)) < 1.3
    for modality in Modality:
        core, oedema = (np.median(contrasts(cases["ped"], modality, value)) for value in (NC, ED))
        assert abs(core - oedema) < 0.6, modality


def test_conversion_of_contrasts_is_that_of_the_adult_tissues() -> None:
    contrast = {"nc": (-0.34, -0.58, 3.0, 2.5), "ed": (0.12, -0.08, 1.5, 2.3), "et": (0.10, 1.6, 2.0, 2.4)}
    for index, modality in enumerate(Modality):
        middle, unit = _CONTRAST_UNIT[modality]
        x = np.array([values[index] for values in contrast.values()])
        y = np.array([ADULT[tissue][modality].mean for tissue in contrast]) - middle
        assert unit == pytest.approx((x * y).sum() / (x * x).sum(), abs=0.006)


def test_appearance_moves_tumours_from_adults_to_children_and_beyond() -> None:
    for modality in Modality:
        adult = {name: looks[modality] for name, looks in ADULT.items()}
        none, half, full = (tumour_looks(modality, appearance=far) for far in (0.0, 0.5, 1.0))
        assert none == adult
        for name, look in full.items():
            middle, unit = _CONTRAST_UNIT[modality]
            assert look.mean == pytest.approx(middle + PAEDIATRIC[name][modality].mean * unit)
            assert half[name].mean == pytest.approx((adult[name].mean + look.mean) / 2)
            assert half[name].within == pytest.approx((adult[name].within + look.within) / 2)


@pytest.mark.parametrize("cohort", ["adult", "ped"])
def test_normal_tissues_are_ordered_as_in_life(cases: dict[str, list[PhantomCase]], cohort: str) -> None:
    skewness = {m: [] for m in Modality}  # type: dict[Modality, list[float]]
    for case in cases[cohort]:
        for modality, image in case.images.items():
            low, middle, high = np.percentile(image[(image > 0) & (case.label == 0)], [2, 50, 98])
            skewness[modality].append((high - middle) / (middle - low))
    assert np.median(skewness[Modality.T1N]) < 1 < np.median(skewness[Modality.T2W])  # liquor is dark, bright
    assert np.median(skewness[Modality.T2F]) < 1
