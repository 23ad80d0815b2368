"""A share for each case, in populations of two kinds."""

import json

import numpy as np
import pytest
import torch

from pedseg.calibration.calibration import Calibration
from pedseg.calibration.counts import centres
from pedseg.calibration.per_case import Mixture, PerCase, fit_mixture
from pedseg.calibration.posterior import Posterior
from pedseg.labels import Region
from tests.calibration.populations import calibrated, case, share_above

SOURCE = [0.3] * 20
BIMODAL = [0.99] * 20 + [0.5] * 20


def rule_of(calibration: Calibration) -> PerCase:
    found = calibration.thresholds()
    assert isinstance(found, PerCase)
    return found


def test_two_kinds_of_children_are_told_apart() -> None:
    calibration = calibrated({"calibration": "per_case", "case_voxels": 100}, SOURCE, BIMODAL)
    mixture = rule_of(calibration).parts[Region.TC].mixture
    assert mixture.extreme == pytest.approx(0.5, abs=0.1)
    assert mixture.alpha / (mixture.alpha + mixture.beta) == pytest.approx(0.5, abs=0.07)
    logits = [case(share, 3000 + index)[0] for index, share in enumerate(BIMODAL)]
    found = share_above(calibration, logits)
    assert np.mean(found[:20]) == pytest.approx(0.99, abs=0.04)
    assert np.mean(found[20:]) == pytest.approx(0.5, abs=0.06)
    assert min(found[:20]) > max(found[20:])


def test_one_threshold_for_all_cannot_do_that() -> None:
    calibration = calibrated({"calibration": "estimated"}, SOURCE, BIMODAL)
    logits = [case(share, 3000 + index)[0] for index, share in enumerate(BIMODAL)]
    found = share_above(calibration, logits)
    assert np.mean(found) == pytest.approx(np.mean(BIMODAL), abs=0.03)
    assert np.mean(found[20:]) > 0.54


def test_enhancing_tumour_is_there_or_not() -> None:
    how = {"calibration": "per_case", "calibrated_parts": ["et"], "case_voxels": 100}
    calibration = calibrated(how, SOURCE, [0.0] * 10 + [0.6] * 20)
    for index, share in enumerate([0.0] * 10 + [0.6] * 20):
        logits = case(share, 1000 + index)[0]
        logits[1] = 1.0  # all of it is core
        calibration.target.count(index, logits)
    mixture = rule_of(calibration).parts[Region.ET].mixture
    assert mixture.pure == 0.01
    assert mixture.extreme == pytest.approx(1 / 3, abs=0.1)


def test_fewer_voxels_leave_a_case_nearer_to_the_others() -> None:
    """What a case counts for decides how far its own logits go."""
    ratios = Posterior(1, 0, 0.5).ratios(centres())
    counts = np.zeros((1, 600))
    counts[0, 310] = 1000  # logit 1.05
    shares = [float(Mixture(0.99, 0.01, 2, 8, n).shares(counts, ratios)[0]) for n in (0.01, 10, 1000)]
    assert shares[0] == pytest.approx(0.21, abs=0.01)  # .01 · .99 + .99 · .2
    assert shares[0] < shares[1] < shares[2]


def test_a_case_without_the_part_around_it_has_the_threshold_0() -> None:
    rule = rule_of(calibrated({"calibration": "per_case"}, SOURCE, BIMODAL))
    logits = case(0.5, 1)[0]
    assert rule.thresholds(logits)[::2] == [0.0, 0.0]
    assert rule.thresholds(logits)[1] != 0
    assert rule.thresholds(torch.full_like(logits, -5)) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("target", [[0.999] * 12, [0.4] * 12, [0.5], [0.001] * 5])
def test_one_kind_alone(target: list[float]) -> None:
    """Nothing breaks where a component has no case."""
    calibration = calibrated({"calibration": "per_case"}, SOURCE, target)
    (part,) = calibration.parts()
    assert part.share == pytest.approx(np.mean(target), abs=0.08)
    assert np.isfinite(rule_of(calibration).thresholds(case(0.5, 1)[0])).all()


def test_the_fit_has_the_greatest_likelihood_nearby() -> None:
    """EM climbs: no neighbour of what it ends at explains the cases better, but for the moments of the Beta."""
    calibration = calibrated({"calibration": "per_case", "case_voxels": 50}, SOURCE, BIMODAL)
    rule = rule_of(calibration).parts[Region.TC]
    ratios, counts = rule.posterior.ratios(centres()), calibration.target.of(Region.TC)
    again = fit_mixture(counts, ratios, part=Region.TC, voxels=50)
    assert again == rule.mixture
    extreme = [rule.mixture.extreme + step for step in (-0.1, 0, 0.1)]
    means = [np.mean(_chances(Mixture(0.99, e, again.alpha, again.beta, 50), counts, ratios)) for e in extreme]
    assert means[0] > extreme[0]
    assert means[1] == pytest.approx(extreme[1], abs=1e-3)
    assert means[2] < extreme[2]


def _chances(mixture: Mixture, counts: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """Posterior probability of the extreme, from expected shares of two mixtures that differ in its share alone."""
    other = Mixture(mixture.pure, 0.0, mixture.alpha, mixture.beta, mixture.voxels).shares(counts, ratios)
    chances: np.ndarray = (mixture.shares(counts, ratios) - other) / (mixture.pure - other)
    return chances


def test_it_survives_being_written() -> None:
    rule = rule_of(calibrated({"calibration": "per_case", "calibrated_parts": ["tc", "et"]}, SOURCE, BIMODAL))
    again = PerCase.of(json.loads(json.dumps(rule.as_json())))
    assert again == rule
    assert again.thresholds(case(0.7, 2)[0]) == rule.thresholds(case(0.7, 2)[0])
    broken: list[dict[str, object]] = [{}, {"parts": {"tc": {}}}, {"parts": {"xx": {}}}]
    for damaged in broken:
        with pytest.raises((KeyError, ValueError)):
            PerCase.of(damaged)
