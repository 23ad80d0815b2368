"""Styles against NumPy's FFT and interpolation."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pedseg.adaptation import Draw, FourierStyle, HistogramStyle
from pedseg.adaptation.method import inside
from pedseg.errors import PedsegError
from pedseg.labels import Domain
from tests.adaptation.steps import brainy, made

DRAW = Draw(0, 0, 0)
METHODS = [FourierStyle, HistogramStyle]


def restyled(method: Any, source: torch.Tensor, target: torch.Tensor, draw: Draw = DRAW) -> torch.Tensor:
    changed: torch.Tensor = method.change({Domain.SOURCE: source, Domain.TARGET: target}, draw)[Domain.SOURCE]
    return changed


def exchanged(ours: NDArray[Any], theirs: NDArray[Any], beta: float) -> NDArray[Any]:
    """FDA of one modality with the whole, centred spectrum; the middle keeps its own amplitude."""
    a, b = (np.fft.fftshift(np.fft.fftn(x)) for x in (ours, theirs))
    middle = tuple(n // 2 for n in ours.shape)
    half = [max(1, int(beta * n)) for n in ours.shape]
    box = tuple(slice(m - h, m + h + 1) for m, h in zip(middle, half, strict=True))
    amplitude = np.abs(a)
    amplitude[box] = np.abs(b)[box]
    amplitude[middle] = np.abs(a)[middle]
    return np.real(np.fft.ifftn(np.fft.ifftshift(amplitude * np.exp(1j * np.angle(a)))))


@pytest.mark.parametrize("size", [(16, 12, 20), (9, 15, 11)])
@pytest.mark.parametrize("beta", [0.01, 0.1, 0.25])
def test_fourier_equals_numpys_spectrum(size: tuple[int, int, int], beta: float) -> None:
    source, target = torch.randn(2, 4, *size) + 0.1, 2 * torch.randn(2, 4, *size) - 1
    ours = restyled(FourierStyle(probability=1.0, beta=beta), source, target)
    for i in range(2):
        for channel in range(4):
            expected = exchanged(source[i, channel].double().numpy(), target[i, channel].double().numpy(), beta)
            np.testing.assert_allclose(ours[i, channel], expected, atol=1e-4)


def test_fourier_keeps_the_mean_of_each_modality() -> None:
    source, target = torch.randn(1, 4, 8, 8, 8) - 0.5, torch.randn(1, 4, 8, 8, 8) + 3
    ours = restyled(FourierStyle(probability=1.0, beta=0.5), source, target)
    torch.testing.assert_close(ours.mean((2, 3, 4)), source.mean((2, 3, 4)), atol=1e-4, rtol=0)


def test_fourier_of_itself_is_itself() -> None:
    source = brainy(1)
    torch.testing.assert_close(restyled(FourierStyle(probability=1.0), source, source), source, atol=1e-5, rtol=0)


def test_histogram_equals_interpolation_between_quantiles() -> None:
    source, target = brainy(1), 0.2 * brainy(1, seed=1).exp() * inside(brainy(1))
    target[:, :, :8] = 0
    ours = restyled(HistogramStyle(probability=1.0), source, target)
    brain, model_brain = (x[0].any(0).numpy() for x in (source, target))
    for channel in range(4):
        before, after = (
            np.sort(x[0, channel].numpy()[mask])[np.rint(np.linspace(0, 1, 65) * (mask.sum() - 1)).astype(int)]
            for x, mask in ((source, brain), (target, model_brain))
        )
        expected = np.where(brain, np.interp(source[0, channel].numpy(), before, after), 0)
        np.testing.assert_allclose(ours[0, channel], expected, atol=1e-4)
        # and the histograms agree, by quantiles that were not matched
        levels = np.linspace(0.03, 0.97, 33)
        got, wanted = (
            np.quantile(x[0, channel].numpy()[mask], levels) for x, mask in ((ours, brain), (target, model_brain))
        )
        np.testing.assert_allclose(got, wanted, atol=0.05)


def test_histogram_takes_values_that_repeat() -> None:
    source = brainy(1).round()
    source[source == 0] = 0.5
    target = brainy(1, seed=1).round() + 4
    ours = restyled(HistogramStyle(probability=1.0), source, target)
    assert ours.isfinite().all()
    assert float(ours.min()) >= float(target.min())
    assert float(ours.max()) <= float(target.max())


@pytest.mark.parametrize("method", METHODS)
def test_brain_stays_brain_and_inputs_stay_as_they_are(method: Any) -> None:
    images = {Domain.SOURCE: brainy(2), Domain.TARGET: 2 * brainy(2, seed=1) + 1}
    before = {domain: image.clone() for domain, image in images.items()}
    changed = method(probability=1.0).change(images, DRAW)
    assert list(changed) == list(Domain)
    assert changed[Domain.TARGET] is images[Domain.TARGET]
    assert all(torch.equal(images[domain], before[domain]) for domain in Domain)
    assert torch.equal(inside(changed[Domain.SOURCE]), inside(images[Domain.SOURCE]))
    assert not torch.equal(changed[Domain.SOURCE], images[Domain.SOURCE])
    assert torch.equal(method(probability=0.0).change(images, DRAW)[Domain.SOURCE], images[Domain.SOURCE])


@pytest.mark.parametrize("method", METHODS)
def test_a_patch_with_hardly_any_brain_neither_takes_nor_gives_a_look(method: Any) -> None:
    full, poor = brainy(1), torch.zeros(1, 4, 16, 16, 16)
    poor[..., :4, :4, :4] = 1 + torch.rand(1, 4, 4, 4, 4)
    for source, target in ((full, poor), (poor, full), (full, torch.zeros_like(full)), (torch.zeros_like(full), full)):
        assert torch.equal(restyled(method(probability=1.0), source, target), source)


@pytest.mark.parametrize("method", METHODS)
def test_a_side_alone_stays(method: Any) -> None:
    for domain in Domain:
        images = {domain: brainy(1)}
        assert method(probability=1.0).change(images, DRAW) is images


@pytest.mark.parametrize("method", METHODS)
def test_processes_pair_samples_as_one_does(method: Any) -> None:
    source, target = brainy(6), torch.cat([brainy(1, seed=s) * s for s in range(1, 7)])
    half = method(probability=0.5)
    whole = restyled(half, source, target)
    unchanged = [torch.equal(a, b) for a, b in zip(whole, source, strict=True)]
    assert 0 < sum(unchanged) < 6
    parts = [restyled(half, source[3 * r : 3 * r + 3], target[3 * r : 3 * r + 3], Draw(0, 0, 0, r)) for r in (0, 1)]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("method", METHODS)
def test_fewer_targets_take_turns(method: Any) -> None:
    source, target = brainy(1).repeat(3, 1, 1, 1, 1), torch.cat([brainy(1, seed=1), 5 * brainy(1, seed=2)])
    first, second, third = restyled(method(probability=1.0), source, target)
    assert torch.equal(first, third)
    assert not torch.equal(first, second)


def test_settings() -> None:
    assert FourierStyle().description() == {"probability": 0.5, "beta": 0.05}
    assert HistogramStyle().description() == {"probability": 0.5}
    with pytest.raises(PedsegError, match=r"m\.beta=0\.7: should be less than or equal to 0\.5"):
        made(FourierStyle, beta=0.7)
    with pytest.raises(PedsegError, match=r"m\.probability=2"):
        made(HistogramStyle, probability=2)


@pytest.mark.parametrize("style", METHODS)
def test_a_modality_that_a_sample_lacks_neither_takes_nor_gives_a_look(style: Any) -> None:
    source, target = brainy(1), brainy(1, seed=1)
    source[0, 1], target[0, 2] = 0, 0
    ours = restyled(style(probability=1.0), source, target)[0]
    assert not ours[1].any()
    assert torch.equal(ours[2], source[0, 2])
    whole = restyled(style(probability=1.0), brainy(1), brainy(1, seed=1))[0]
    assert torch.equal(ours[[0, 3]], whole[[0, 3]])
    assert not torch.equal(ours[0], source[0, 0])
