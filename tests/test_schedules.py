"""Schedules at the values the papers print."""

import math

import pytest

from pedseg.schedules import constant, inverse_decay, linear_ramp, poly_decay


def test_poly_decay() -> None:
    assert poly_decay(0.0) == 1.0
    assert poly_decay(0.5) == pytest.approx(math.exp(0.9 * math.log(0.5)))
    assert poly_decay(999 / 1000) == pytest.approx(0.001**0.9)
    assert poly_decay(1.0) == 0.0
    assert poly_decay(0.25, exponent=1.0) == 0.75


def test_inverse_decay() -> None:
    assert inverse_decay(0.0) == 1.0
    assert inverse_decay(1.0) == pytest.approx(11**-0.75)
    assert inverse_decay(0.1, exponent=1.0) == pytest.approx(0.5)


def test_constant() -> None:
    assert {constant(p / 7) for p in range(8)} == {1.0}


def test_alpha_of_the_paper_epoch_by_epoch() -> None:
    """0 up to epoch 100 of 500, 3 from epoch 350 on, linear between (Fu et al. 2024)."""
    alphas = [linear_ramp(epoch / 500, start=0.2, end=0.7, maximum=3) for epoch in range(500)]
    assert not any(alphas[:101])
    assert alphas[225] == pytest.approx(1.5)
    assert alphas[101] == pytest.approx(3 / 250)
    assert all(alpha == pytest.approx(3) for alpha in alphas[350:])
    assert alphas == sorted(alphas)


@pytest.mark.parametrize(("start", "end"), [(0.5, 0.5), (0.7, 0.2)])
def test_a_ramp_must_rise(start: float, end: float) -> None:
    with pytest.raises(ValueError, match="give start < end"):
        linear_ramp(0.1, start=start, end=end, maximum=1)
