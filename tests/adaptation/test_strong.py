"""Strong augmentation: its curve against np.interp, its shares, and what it leaves alone."""

import numpy as np
import pytest
import torch

from pedseg.adaptation import Draw, StrongAugmentation
from pedseg.adaptation.method import inside
from pedseg.adaptation.strong import KNOTS, MOST_NOISE, RANGE, apply_curve, strongly_augmented, tone_curve
from pedseg.errors import PedsegError
from pedseg.labels import Domain
from tests.adaptation.steps import brainy, made

DRAW = Draw(0, 0, 0)
AXIS = np.linspace(-RANGE, RANGE, KNOTS)


def test_curve_equals_interpolation_and_goes_on_with_slope_one() -> None:
    values = np.linspace(-5, 6, 400)
    for seed in range(4):
        curve = tone_curve(np.random.default_rng(seed), strength=1.0)
        expected = np.interp(values, AXIS, curve) + np.where(np.abs(values) > RANGE, values - np.clip(values, -3, 3), 0)
        mapped = apply_curve(torch.from_numpy(values).float(), curve)
        np.testing.assert_allclose(mapped, expected, atol=1e-5)


def test_half_of_the_curves_keep_the_order_of_grey_values() -> None:
    curves = [tone_curve(np.random.default_rng(seed), strength=1.0) for seed in range(400)]
    disordered = sum(curve != sorted(curve) for curve in curves)
    assert 120 < disordered < 200  # half, less what is in order by chance
    spread = np.std([np.sort(curve) - AXIS for curve in curves])
    assert 0.5 < spread < 1.2


def test_no_strength_changes_nothing() -> None:
    images = brainy(2)
    same = strongly_augmented(images, DRAW, purpose="x", probability=1.0, strength=0.0)
    torch.testing.assert_close(same, images, atol=1e-5, rtol=0)


def test_brain_stays_brain_and_the_input_stays_as_it_is() -> None:
    images = brainy(3)
    before = images.clone()
    changed = strongly_augmented(images, DRAW, purpose="x", probability=1.0, strength=1.0)
    assert torch.equal(images, before)
    assert torch.equal(inside(changed), inside(images))
    assert changed.dtype == images.dtype
    assert not torch.equal(changed, images)
    empty = torch.zeros(1, 4, 4, 4, 4)
    assert torch.equal(strongly_augmented(empty, DRAW, purpose="x", probability=1.0, strength=1.0), empty)


def test_share_of_changed_modalities() -> None:
    images = brainy(64, size=(4, 5, 4))
    changed = strongly_augmented(images, DRAW, purpose="x", probability=0.8, strength=0.5)
    share = (changed != images).flatten(2).any(2).float().mean()
    assert float(share) == pytest.approx(0.8, abs=0.08)


def test_noise_is_what_is_left_after_the_curve() -> None:
    """Voxels of one grey value leave with one value and noise of at most 0.2 times the strength."""
    images = torch.ones(1, 1, 20, 20, 20)
    deviations = []
    for batch in range(30):
        changed = strongly_augmented(images, Draw(0, 0, batch), purpose="x", probability=1.0, strength=0.5)
        deviations.append(float(changed.std()))
    assert max(deviations) < 0.5 * MOST_NOISE * 1.05
    assert np.mean(deviations) == pytest.approx(0.5 * MOST_NOISE / 2, rel=0.3)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_samples_do_not_depend_on_processes_or_layout(layout: torch.memory_format) -> None:
    images = brainy(4)
    settings = {"purpose": "x", "probability": 0.8, "strength": 0.5}
    whole = strongly_augmented(images, DRAW, **settings)  # type: ignore[arg-type]
    parts = [
        strongly_augmented(images[2 * r : 2 * r + 2].contiguous(memory_format=layout), Draw(0, 0, 0, r), **settings)  # type: ignore[arg-type]
        for r in (0, 1)
    ]
    assert torch.equal(torch.cat(parts), whole)


def test_only_the_chosen_sides_change() -> None:
    images = {Domain.SOURCE: brainy(2), Domain.TARGET: brainy(2)}
    both = StrongAugmentation(probability=1.0).change(images, DRAW)
    assert list(both) == list(Domain)
    assert not torch.equal(both[Domain.SOURCE], both[Domain.TARGET])  # each side has numbers of its own
    one = StrongAugmentation(probability=1.0, sides=(Domain.SOURCE,)).change(images, DRAW)
    assert one[Domain.TARGET] is images[Domain.TARGET]
    assert torch.equal(one[Domain.SOURCE], both[Domain.SOURCE])
    alone = StrongAugmentation(probability=1.0).change({Domain.SOURCE: brainy(2)}, DRAW)
    assert torch.equal(alone[Domain.SOURCE], both[Domain.SOURCE])
    assert not StrongAugmentation.needs_target
    assert StrongAugmentation().description() == {"probability": 0.8, "strength": 0.5}


def test_bad_settings_are_refused() -> None:
    with pytest.raises(PedsegError, match=r"m\.probability=1\.5"):
        made(StrongAugmentation, probability=1.5)
    with pytest.raises(PedsegError, match=r"m\.strength=-1"):
        made(StrongAugmentation, strength=-1)
    with pytest.raises(PedsegError, match=r"m\.sides\.0='children': should be 'source' or 'target'"):
        made(StrongAugmentation, sides=["children"])
    with pytest.raises(PedsegError, match=r"m\.sides=\[\]"):
        made(StrongAugmentation, sides=[])


def test_a_modality_that_a_sample_lacks_stays_absent() -> None:
    images = brainy(2)
    images[0, 2] = 0
    changed = strongly_augmented(images, DRAW, purpose="x", probability=1.0, strength=1.0)
    assert not changed[0, 2].any()
    whole = strongly_augmented(brainy(2), DRAW, purpose="x", probability=1.0, strength=1.0)
    assert torch.equal(changed[0, [0, 1, 3]], whole[0, [0, 1, 3]])
    assert torch.equal(changed[1], whole[1])
