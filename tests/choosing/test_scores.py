"""Each validator by values by hand or by an implementation of its own."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from pedseg.choosing.scores import (
    Confidence,
    agreement,
    certainty,
    confidence,
    deep_embedded_validation,
    importance,
    infomax,
    majority,
    mean_dice,
    probe_domains,
    soft_dice_confidence,
    soft_neighbourhood_density,
)
from tests.exactness import Exact

LN2 = math.log(2)
INDEPENDENT = "independent implementation in the tests"


def masks(*rows: str) -> NDArray[np.bool_]:
    """Masks (regions, 1, 1, voxels) from strings of 0 and 1."""
    return np.array([[int(c) for c in row] for row in rows], dtype=bool)[:, None, None]


@pytest.mark.exact(
    "Mean binary entropy and InfoMax of 600 random logits", section="Metrics", peer=INDEPENDENT, tolerance=1e-12
)
def test_entropy_and_infomax_by_loops(exact: Exact) -> None:
    rng = np.random.default_rng(0)
    cases = [rng.normal(0, 3, (3, n)).astype(np.float32) for n in (80, 120)]

    def entropy(p: float) -> float:
        return -p * math.log(p) - (1 - p) * math.log(1 - p)

    def probability(z: float) -> float:
        return 1 / (1 + math.exp(-z))

    means = [[[probability(float(z)) for z in row] for row in case] for case in cases]
    mean_entropy = sum(sum(map(entropy, row)) / len(row) for case in means for row in case) / 6
    marginal = 0.0
    for region in range(3):
        marginal += entropy(sum(sum(case[region]) / len(case[region]) for case in means) / 2) / 3
    summaries = [confidence(case) for case in cases]
    exact(abs(certainty(summaries) + mean_entropy))
    exact(abs(infomax(summaries) - (marginal - mean_entropy)))


def test_confidence_of_plain_answers() -> None:
    unsure = confidence(np.zeros((3, 10)))
    assert unsure.probability == pytest.approx([0.5] * 3)
    assert unsure.entropy == pytest.approx([LN2] * 3)
    sure = confidence(np.array([[800.0, -800.0], [-900.0, -900.0]], dtype=np.float32))
    assert sure.probability == pytest.approx([0.5, 0.0])
    assert sure.entropy == pytest.approx([0.0, 0.0], abs=1e-300)
    assert certainty([unsure, Confidence(np.zeros(3), np.zeros(3))]) == pytest.approx(-LN2 / 2)


def test_infomax_is_largest_for_certain_and_varied_predictions() -> None:
    half = confidence(np.array([[900.0, -900.0]]))
    nothing = confidence(np.array([[-900.0, -900.0]]))
    uniform = confidence(np.zeros((1, 2)))
    assert infomax([half]) == pytest.approx(LN2)
    assert infomax([nothing]) == 0.0
    assert infomax([uniform]) == pytest.approx(0.0, abs=1e-15)
    everything = confidence(np.array([[900.0, 900.0]]))
    assert infomax([everything]) == 0.0
    assert infomax([everything, nothing]) == pytest.approx(LN2)  # varies from case to case
    quarter = Confidence(np.array([0.25]), np.array([0.1]))
    assert infomax([quarter]) == pytest.approx(2 * LN2 - 0.75 * math.log(3) - 0.1)


@pytest.mark.exact(
    "Soft neighbourhood density of 60 random features", section="Metrics", peer=INDEPENDENT, tolerance=1e-12
)
def test_density_by_loops(exact: Exact) -> None:
    features = np.random.default_rng(1).normal(0.3, 1, (60, 5))
    lengths = [math.sqrt(sum(v * v for v in row)) for row in features]
    total = 0.0
    for i, one in enumerate(features):
        cosines = [
            sum(a * b for a, b in zip(one, other, strict=True)) / lengths[i] / lengths[j]
            for j, other in enumerate(features)
            if j != i
        ]
        weights = [math.exp(c / 0.05) for c in cosines]
        total -= sum(w / sum(weights) * math.log(w / sum(weights)) for w in weights) / len(features)
    exact(abs(soft_neighbourhood_density(features.astype(np.float64)) - total))


def test_density_of_plain_neighbourhoods() -> None:
    same = np.tile([[3.0, 4.0]], (9, 1))
    assert soft_neighbourhood_density(same) == pytest.approx(math.log(8))
    two_clusters = np.repeat(np.eye(2), 5, axis=0)  # e^-20 apart: each sees the four of its own
    assert soft_neighbourhood_density(two_clusters) == pytest.approx(math.log(4), abs=1e-6)
    stretched = two_clusters * np.arange(1, 11)[:, None]
    assert soft_neighbourhood_density(stretched) == pytest.approx(soft_neighbourhood_density(two_clusters))
    assert soft_neighbourhood_density(np.eye(6)) == pytest.approx(math.log(5))
    assert math.isfinite(soft_neighbourhood_density(np.zeros((4, 3), dtype=np.float32)))
    pairs = np.array([[1.0, 0], [1, 0.001], [0, 1], [0.001, 1]])
    assert soft_neighbourhood_density(pairs) < 1e-6  # one neighbour each
    before = two_clusters.copy()
    soft_neighbourhood_density(two_clusters)
    np.testing.assert_array_equal(two_clusters, before)


def test_dev_with_known_weights() -> None:
    """Target has 80 % easy cases, the source 50 %: its risk is 0.8 · 0.1 + 0.2 · 0.9 however the sample came out."""
    for easy, hard in ((5, 5), (6, 4), (2, 8)):
        risk = np.repeat([0.1, 0.9], [easy, hard])
        weights = np.repeat([0.8 / 0.5, 0.2 / 0.5], [easy, hard])
        assert deep_embedded_validation(risk, weights) == pytest.approx(-0.26)


def test_dev_without_a_shift_is_the_source_risk() -> None:
    risk = np.array([0.1, 0.4, 0.7])
    assert deep_embedded_validation(risk, np.ones(3)) == pytest.approx(-0.4)


@pytest.mark.exact("DEV risk of 50 random cases", section="Metrics", peer=INDEPENDENT, tolerance=1e-12)
def test_dev_by_its_definition(exact: Exact) -> None:
    rng = np.random.default_rng(2)
    risk, weights = rng.uniform(0, 1, 50), rng.gamma(2.0, 0.5, 50)
    product = [float(r * w) for r, w in zip(risk, weights, strict=True)]
    mean_w, mean_p = sum(weights) / 50, sum(product) / 50
    covariance = sum((p - mean_p) * (w - mean_w) for p, w in zip(product, weights, strict=True)) / 49
    eta = -covariance / (sum((w - mean_w) ** 2 for w in weights) / 49)
    exact(abs(deep_embedded_validation(risk, weights) + (mean_p + eta * mean_w - eta)))


def owners(cases: int, rows: int) -> NDArray[np.int64]:
    return np.repeat(np.arange(cases), rows)


def test_a_probe_tells_what_is_apart_and_not_what_is_alike() -> None:
    rng = np.random.default_rng(3)
    of = {"source_cases": owners(20, 4), "target_cases": owners(15, 4)}
    alike = probe_domains(rng.normal(0, 1, (80, 6)), rng.normal(0, 1, (60, 6)), **of)
    assert alike is not None
    assert abs(alike.accuracy - 0.5) < 0.1
    apart = probe_domains(rng.normal(0, 1, (80, 6)), rng.normal(4, 1, (60, 6)), **of)
    assert apart is not None
    assert apart.accuracy == 1.0
    assert (apart.source < 0).all()
    assert (apart.target > 0).all()
    constant = probe_domains(np.ones((80, 2)), np.ones((60, 2)), **of)
    assert constant is not None
    assert constant.accuracy == pytest.approx(0.5)  # whatever the sizes of the domains are


def test_a_probe_is_not_shown_other_rows_of_a_case() -> None:
    """Features that name the case, and nothing else, say nothing about a case that was not seen."""
    names = np.eye(20)
    source, target = np.repeat(names[:10], 6, axis=0), np.repeat(names[10:], 6, axis=0)
    probe = probe_domains(source, target, source_cases=owners(10, 6), target_cases=owners(10, 6))
    assert probe is not None
    assert probe.accuracy == pytest.approx(0.5)


def test_a_probe_needs_two_cases_of_each_domain() -> None:
    rows = np.random.default_rng(4).normal(0, 1, (8, 2))
    assert probe_domains(rows, rows, source_cases=owners(1, 8), target_cases=owners(4, 2)) is None
    assert probe_domains(rows, rows, source_cases=owners(2, 4), target_cases=owners(4, 2)) is not None


def test_importance_is_the_density_ratio() -> None:
    """Normal distributions with means 0 and δ: the ratio is exp(δ x - δ²/2); a domain's size does not matter."""
    rng = np.random.default_rng(5)
    delta = 0.7
    source, target = rng.normal(0, 1, (6000, 1)), rng.normal(delta, 1, (2000, 1))
    probe = probe_domains(source, target, source_cases=np.arange(6000), target_cases=np.arange(2000))
    assert probe is not None
    weights = importance(probe, np.arange(6000))
    np.testing.assert_allclose(weights, np.exp(delta * source[:, 0] - delta**2 / 2), rtol=0.2)
    assert weights.mean() == pytest.approx(1.0, abs=0.05)
    halved = importance(probe, owners(3000, 2))
    np.testing.assert_allclose(halved, weights.reshape(3000, 2).mean(axis=1))


def test_agreement_of_masks() -> None:
    one = masks("1100", "0000", "1111")
    other = masks("1000", "0000", "0000")
    assert mean_dice(one, other) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert agreement(one, [one, other]) == pytest.approx((1 + (2 / 3 + 1) / 3) / 2)
    assert mean_dice(masks("000"), masks("000")) == 1.0


def test_a_majority_is_more_than_half() -> None:
    votes = [masks("1110"), masks("1100"), masks("1000")]
    np.testing.assert_array_equal(majority(votes), masks("1100"))
    np.testing.assert_array_equal(majority(votes[:2]), masks("1100"))  # a tie marks nothing
    np.testing.assert_array_equal(majority(votes[2:]), votes[2])


def test_soft_dice_of_certain_predictions_is_1_and_of_unsure_ones_less() -> None:
    sure = np.where(np.arange(12).reshape(3, 4) % 2, 50.0, -50.0)
    assert soft_dice_confidence(sure) == pytest.approx(1)
    p = np.array([0.9, 0.6, 0.3, 0.1])
    unsure = np.log(p / (1 - p))[None]
    assert soft_dice_confidence(unsure) == pytest.approx(2 * 1.5 / (1.9 + 2))
    assert soft_dice_confidence(np.concatenate([unsure, -np.abs(unsure)])) == pytest.approx(2 * 1.5 / 3.9)
    assert soft_dice_confidence(-np.abs(unsure)) is None
