"""Schedules at the values the papers print."""

import json
import math
import subprocess
from pathlib import Path

import pytest

from pedseg.schedules import constant, inverse_decay, linear_ramp, poly_decay
from tests.exactness import Exact

PEER_PROGRAM = """
import json, torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.01)
scheduler, rates = PolyLRScheduler(optimizer, 0.01, 1000), []
for epoch in range(1000):  # the trainer steps it with the epoch before each epoch
    scheduler.step(epoch)
    rates.append(optimizer.param_groups[0]["lr"])
print(json.dumps(rates))
"""


def test_poly_decay() -> None:
    assert poly_decay(0.0) == 1.0
    assert poly_decay(0.5) == pytest.approx(math.exp(0.9 * math.log(0.5)))
    assert poly_decay(999 / 1000) == pytest.approx(0.001**0.9)
    assert poly_decay(1.0) == 0.0
    assert poly_decay(0.25, exponent=1.0) == 0.75


@pytest.mark.exact(
    "Poly schedule: learning rate of each of 1,000 epochs from 0.01",
    section="Training",
    peer="nnunetv2",
    tolerance=1e-15,
)
def test_poly_decay_equals_nnunets(peers_python: Path, exact: Exact) -> None:
    run = subprocess.run([peers_python, "-c", PEER_PROGRAM], capture_output=True, text=True, check=True)
    rates = json.loads(run.stdout.splitlines()[-1])
    for epoch, rate in enumerate(rates):
        exact(abs(0.01 * poly_decay(epoch / 1000) - rate))
    assert len(rates) == 1000


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
