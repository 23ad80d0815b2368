"""The share that logits speak for, on made-up logits whose share is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pedseg.choosing.core_share import CoreShare, core_share, count_core, count_source_core

Made = tuple[NDArray[np.float32], NDArray[np.bool_]]


def made(share: float, *, seed: int, shift: float = 0.0) -> Made:
    """Logits (3, 8, 20, 20) and labels of a case whose whole box is WT, of which `share` is TC."""
    rng = np.random.default_rng(seed)
    label = np.stack([np.ones((8, 20, 20), bool), rng.random((8, 20, 20)) < share, np.zeros((8, 20, 20), bool)])
    logits = rng.normal(np.where(label, 1.0, -1.0), 1.4) + shift
    logits[0] = 5.0
    return logits.astype(np.float32), label


@pytest.mark.parametrize("true", [0.3, 0.6, 0.92])
def test_the_share_is_found_whatever_that_of_the_source(true: float) -> None:
    source = [count_source_core(*made(0.35, seed=seed)) for seed in range(8)]
    target = [count_core(made(true, seed=100 + seed)[0]) for seed in range(12)]
    found = core_share(source, target)
    assert found is not None
    assert found.estimated == pytest.approx(true, abs=0.03)
    assert found.low <= found.estimated <= found.high
    assert found.contradicts(true - 0.2)
    assert not found.contradicts(found.estimated)


def test_a_cut_that_is_the_same_everywhere_changes_nothing() -> None:
    """Thresholds of a calibrated network move all its logits, those of the source too."""
    one, other = (
        core_share(
            [count_source_core(*made(0.35, seed=seed, shift=shift)) for seed in range(8)],
            [count_core(made(0.8, seed=100 + seed, shift=shift)[0]) for seed in range(12)],
        )
        for shift in (0.0, 1.5)
    )
    assert one is not None
    assert other is not None
    assert one.estimated == pytest.approx(other.estimated, abs=0.02)


def test_without_source_or_tumour_nothing_is_known() -> None:
    logits, label = made(0.5, seed=0)
    assert core_share([], [count_core(logits)]) is None
    nothing = np.full_like(logits, -9.0)
    assert core_share([count_source_core(logits, label)], [count_core(nothing)]) is None
    assert core_share([count_source_core(nothing, label)], [count_core(logits)]) is None


def test_what_contradicts() -> None:
    assert CoreShare(0.6, 0.5, 0.7).contradicts(0.922)
    assert not CoreShare(0.9, 0.85, 0.95).contradicts(0.922)
