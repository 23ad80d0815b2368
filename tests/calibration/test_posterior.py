"""Bias-corrected temperature scaling on logits whose true log odds are known."""

import numpy as np
import pytest

from pedseg.calibration.counts import centres
from pedseg.calibration.posterior import Posterior, fit_posterior, logit, sigmoid
from pedseg.errors import PedsegError
from pedseg.labels import Region
from tests.calibration.populations import OFFSET, SLOPE, calibrated


def counts(source: list[float], **population: float) -> tuple[np.ndarray, np.ndarray]:
    calibration = calibrated({"calibration": "estimated"}, source, [0.5], **population)
    return calibration.source.inside.of(Region.TC), calibration.source.outside.of(Region.TC)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_slope_offset_and_prior_are_found(share: float) -> None:
    found = fit_posterior(*counts([share] * 40), what="TC in WT")
    assert found.slope == pytest.approx(SLOPE, abs=0.03)
    assert found.offset == pytest.approx(OFFSET + logit(share), abs=0.1)
    assert found.prior == pytest.approx(share, abs=1e-4)  # where the likelihood is greatest, the means agree
    ratios = found.ratios(np.array([(x - OFFSET) / SLOPE for x in (-2.0, 0.0, 2.0)]))
    assert np.log(ratios) == pytest.approx([-2, 0, 2], abs=0.25)


def test_probabilities_mean_what_they_say() -> None:
    inside, outside = counts([0.3] * 40)
    found = fit_posterior(inside, outside, what="TC in WT")
    p = found.probabilities(centres())
    for low, high in ((0.05, 0.3), (0.3, 0.7), (0.7, 0.95)):
        there = (p > low) & (p < high)
        true, said = inside.sum(0)[there], ((inside + outside).sum(0) * p)[there]
        assert true.sum() == pytest.approx(said.sum(), rel=0.08)


def test_a_large_case_weighs_as_much_as_a_small_one() -> None:
    inside, outside = counts([0.2, 0.8])
    larger = [np.array([[1.0], [50.0]]) * values for values in (inside, outside)]
    one, other = fit_posterior(inside, outside, what="TC"), fit_posterior(*larger, what="TC")
    assert (one.slope, one.offset, one.prior) == pytest.approx((other.slope, other.offset, other.prior))


def test_the_shift_of_the_logit() -> None:
    """At the threshold the posterior that goes with the new share is one half."""
    posterior = Posterior(slope=0.5, offset=0.3, prior=0.2)
    for share in (0.1, 0.2, 0.9):
        r = posterior.ratios(np.array([posterior.threshold(share)]))[0]
        assert share * r / (share * r + 1 - share) == pytest.approx(0.5)


def test_separable_parts_stay_finite() -> None:
    inside, outside = np.zeros((1, 600)), np.zeros((1, 600))
    inside[0, 350], outside[0, 250] = 100, 100
    found = fit_posterior(inside, outside, what="TC in WT")
    assert 0 < found.slope < 100
    assert np.isfinite([found.offset, found.threshold(0.9)]).all()
    assert np.isfinite(sigmoid(np.array([-1e4, 1e4]))).all()


def test_what_the_source_cannot_tell() -> None:
    inside, outside = counts([0.5] * 3)
    nothing = np.zeros_like(inside)
    with pytest.raises(PedsegError, match="finds no tumour in any held-out source case"):
        fit_posterior(nothing, nothing, what="TC in WT")
    with pytest.raises(PedsegError, match=r"TC in WT: has 100\.00% of what the network finds"):  # no oedema
        fit_posterior(inside, nothing, what="TC in WT")
    with pytest.raises(PedsegError, match=r"TC in WT: has 0\.00%"):
        fit_posterior(nothing, outside, what="TC in WT")
    with pytest.raises(PedsegError, match="no likelier where its logit is higher"):
        fit_posterior(outside, inside, what="TC in WT")
