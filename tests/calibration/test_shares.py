"""Shares that are found without labels, in populations whose share is known."""

import numpy as np
import pytest

from pedseg.calibration.calibration import Calibration
from pedseg.calibration.counts import centres, shares_of
from pedseg.calibration.estimated import LEAST, estimated, interval, likeliest
from pedseg.calibration.posterior import Posterior
from pedseg.errors import PedsegError
from pedseg.labels import Region
from tests.calibration.populations import calibrated, case, share_above

SOURCE = [0.3] * 20


def share(calibration: Calibration) -> float:
    (part,) = calibration.parts()
    return part.share


def saerens(cases: np.ndarray, posterior: Posterior, *, iterations: int) -> float:
    """Eq. 9, word by word: posteriors of the source are weighed anew, and their mean is the next share."""
    p, q = posterior.probabilities(centres()), posterior.prior
    for _ in range(iterations):
        ours, others = q / posterior.prior * p, (1 - q) / (1 - posterior.prior) * (1 - p)
        q = float((cases.mean(0) * (ours / (ours + others))).sum())
    return q


@pytest.mark.parametrize("true", [0.05, 0.3, 0.6, 0.92])
@pytest.mark.parametrize("rule", ["estimated", "bbse"])
def test_a_shifted_share_is_recovered(rule: str, true: float) -> None:
    calibration = calibrated({"calibration": rule}, SOURCE, [true] * 40)
    assert share(calibration) == pytest.approx(true, abs=0.03)


def test_it_is_the_fixed_point_of_saerens() -> None:
    calibration = calibrated({"calibration": "estimated"}, SOURCE, [0.7] * 10)
    (part,) = calibration.parts()
    source = part.evidence["source"]
    posterior = Posterior(source["slope"], source["offset"], source["share"])
    cases = shares_of(calibration.target.of(Region.TC))
    assert part.share == pytest.approx(saerens(cases, posterior, iterations=2000), abs=1e-6)


def test_cases_weigh_alike() -> None:
    """A tumour of ten times the voxels has no more say."""
    calibration = calibrated({"calibration": "estimated"}, SOURCE, [0.2, 0.8])
    before = share(calibration)
    calibration.target.count(1, case(0.8, 1001, voxels=20000)[0])
    assert share(calibration) == pytest.approx(before, abs=0.03)
    assert before == pytest.approx(0.5, abs=0.05)


def test_the_interval_covers_the_population() -> None:
    """Of 40 cohorts of 15 cases, whose shares scatter about .6, some 38 intervals should hold .6; 33 at the least."""
    widths: list[float] = []
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        ratios = Posterior(0.5, 0.0, 0.5).ratios(centres())
        shares = rng.beta(6, 4, size=15)
        density = np.exp(-((0.5 * centres() + np.array([[2.0], [-2.0]])) ** 2) / 8)
        rest, part = density / density.sum(1, keepdims=True)
        cases = np.stack([rng.multinomial(300, w * part + (1 - w) * rest) for w in shares]) / 300
        low, high = interval(cases, ratios, seed=seed)
        assert low <= estimated(cases, ratios) <= high
        covered, widths = covered + (low <= 0.6 <= high), [*widths, high - low]
    assert 33 <= covered <= 40
    assert 0.05 < np.mean(widths) < 0.25
    assert interval(cases, ratios, seed=3) == interval(cases, ratios, seed=3) != interval(cases, ratios, seed=4)


def test_data_overrule_what_is_published() -> None:
    """The figure is wrong by .3: the more cases there are, the less is left of it."""
    how = {"calibration": "map", "shares": {"tc": 0.9}, "prior_cases": 10}
    found = [share(calibrated(how, SOURCE, [0.6] * number)) for number in (2, 20, 200)]
    assert 0.9 > found[0] > found[1] > found[2] > 0.6
    assert found[2] == pytest.approx(0.6, abs=0.04)
    assert found[0] == pytest.approx(0.9, abs=0.1)
    heavy, light = (share(calibrated({**how, "prior_cases": n}, SOURCE, [0.6] * 20)) for n in (1000, 0.01))
    assert heavy == pytest.approx(0.9, abs=0.02)
    assert light == pytest.approx(share(calibrated({"calibration": "estimated"}, SOURCE, [0.6] * 20)), abs=0.01)


def test_a_prior_is_worth_its_number_of_cases() -> None:
    """Where every logit tells its class, the share is the mean over those of the prior and those that are seen."""
    sure = np.zeros((1, 2))
    sure[0, 1] = 1.0
    ratios = np.array([1e-9, 1e9])
    assert likeliest(sure, ratios, centre=0.2, weight=10 / 30)[0] == pytest.approx((30 * 1 + 10 * 0.2) / 40, abs=1e-6)


@pytest.mark.parametrize("rule", ["estimated", "bbse"])
@pytest.mark.parametrize(("cut", "error"), [("quantile", 0.03), ("shift", 0.12)])
def test_thresholds_follow(rule: str, cut: str, error: float) -> None:
    """By the quantile the share is met; by the shift the fewest voxels are wrong."""
    calibration = calibrated({"calibration": rule, "cut": cut}, SOURCE, [0.85] * 30)
    logits = [case(0.85, 5000 + index)[0] for index in range(30)]
    assert np.mean(share_above(calibration, logits)) == pytest.approx(0.85, abs=error)
    own = np.mean([float((one[1] > 0).float().mean()) for one in logits])
    assert own < 0.85 - error


def test_the_shift_leaves_the_fewest_wrong() -> None:
    found = {}
    for cut in ("quantile", "shift"):
        thresholds = calibrated({"calibration": "estimated", "cut": cut}, SOURCE, [0.9] * 30).thresholds()
        assert isinstance(thresholds, list)
        cases = [case(0.9, 7000 + index) for index in range(30)]
        found[cut] = np.mean([float(((x[1] > thresholds[1]) != y[1]).float().mean()) for x, y in cases])
    assert found["shift"] < found["quantile"]


def test_enhancing_tumour_lies_in_the_core() -> None:
    """Its share is of the core that the network finds, and cases without a core have no say."""
    how = {"calibration": "estimated", "calibrated_parts": ["tc", "et"]}
    calibration = calibrated(how, SOURCE, [0.6] * 20)
    core, enhancing = calibration.parts()
    assert (core.region, enhancing.region) == (Region.TC, Region.ET)
    inside_core = calibration.target.of(Region.ET).sum(1)
    found = calibration.target.of(Region.TC)
    assert inside_core.tolist() == found[:, found.shape[1] // 2 :].sum(1).tolist()
    without = calibrated(how, SOURCE, [0.6] * 20)
    empty = case(0.6, 1000)[0]
    empty[1] = -9
    without.target.count(0, empty)
    assert without.parts()[1].share == pytest.approx(enhancing.share, abs=0.02)


def test_no_share_is_ever_nothing_or_all() -> None:
    for sure, expected in ((0, LEAST), (1, 1 - LEAST)):
        histogram = np.eye(2)[[sure]]
        assert estimated(histogram, np.array([1e-9, 1e9])) == pytest.approx(expected)


def test_a_singular_confusion_matrix() -> None:
    """A network that calls nothing the part in its source: EM goes on, bbse says so, and the record has no figure."""
    population = {"apart": 0.5}
    calibration = calibrated({"calibration": "estimated"}, SOURCE, [0.6] * 20, **population)
    for counts in (calibration.source.inside, calibration.source.outside):
        counts.values = counts.values.roll(-200, -1)
    calibration.target.values = calibration.target.values.roll(-200, -1)
    (part,) = calibration.parts()
    assert part.evidence["bbse"] is None
    assert part.share == pytest.approx(0.6, abs=0.15)
    calibration.how = calibration.how.model_copy(update={"calibration": "bbse"})
    with pytest.raises(PedsegError, match=r"TC in WT: the network calls 0% of the voxels in it so.*another rule"):
        calibration.parts()


@pytest.mark.parametrize("rule", ["estimated", "bbse", "map", "per_case"])
def test_without_tumour_there_is_nothing(rule: str) -> None:
    how = {"calibration": rule, **({"shares": {"tc": 0.9}} if rule == "map" else {})}
    calibration = calibrated(how, SOURCE, [0.5])
    calibration.target.values.zero_()
    assert (calibration.parts(), calibration.thresholds(), calibration.cases) == ([], None, 0)
