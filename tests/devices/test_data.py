"""Batches that are augmented on the training device: what the loader packs, moved there, gives the CPU's batch."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.fabric.utilities import move_data_to_device

from pedseg.data.augmentation import Augmentation, Collate, Sample, augment_sides, draw_intensity
from pedseg.data.datamodule import PatchDataModule
from pedseg.data.sampling import Stream, random_stream
from pedseg.labels import Domain
from tests.data.test_augmentation import PATCH, make_sample
from tests.devices.elsewhere import ELSEWHERE, to_cpu

SEED = 3


def make_samples(device: torch.device) -> list[Sample]:
    """Samples of both sides, plain and turned; on a GPU those without noise, which comes from its own generator."""
    made = [
        make_sample(index, side=side, turned=turned)
        for index in range(12) for side in Domain for turned in (False, True)
    ]  # fmt: skip
    if device == ELSEWHERE:
        return made
    return [s for s in made if draw_intensity(random_stream(SEED, s.key, Stream.INTENSITY)).noise is None]


def assert_close(own: Any, expected: Any, device: torch.device) -> None:
    assert own.keys() == expected.keys()
    for side, tensors in expected.items():
        assert own[side].keys() == tensors.keys()
        for name, wanted in tensors.items():
            found = own[side][name]
            assert found.device.type == device.type
            value = to_cpu(found).cpu()
            if name == "label":
                assert (value != wanted).float().mean() < 1e-4
            else:
                torch.testing.assert_close(value, wanted, atol=1e-4, rtol=1e-4)


def moved(samples: Sequence[Sample], device: torch.device) -> Any:
    """What the loader hands over, moved as Lightning moves it."""
    return move_data_to_device(Collate(None)(samples), device)


def test_augmentation_gives_the_cpus_batch(device: torch.device) -> None:
    samples = make_samples(device)
    assert len(samples) > 30
    chain = Augmentation(patch_size=PATCH, seed=SEED)
    own = augment_sides(moved(samples, device), chain)
    expected = Collate(chain)(make_samples(device))  # new ones: plain patches are augmented in place
    assert all(part["image"].isfinite().all() for part in expected.values())
    assert_close(own, expected, device)


def test_noise_has_its_strength_there(device: torch.device) -> None:
    """Its numbers are the device's own, its standard deviation is the drawn one."""
    samples = [make_sample(index) for index in range(60)]
    noisy = [
        (sample, drawn.noise[0]) for sample in samples
        if (drawn := draw_intensity(random_stream(SEED, sample.key, Stream.INTENSITY))).noise
        and not (drawn.blur or drawn.brightness or drawn.contrast or drawn.low_resolution or drawn.gamma)
        and not (drawn.inverted_gamma or drawn.mirror)
    ]  # fmt: skip
    assert noisy
    for sample, sigma in noisy:
        before, brain = sample.image.clone(), sample.brain
        batch = Augmentation(patch_size=PATCH, seed=SEED)(moved([sample], device)["source"])
        change = (to_cpu(batch["image"]).cpu()[0] - before)[brain.expand_as(before)]
        assert float(change.std()) == pytest.approx(sigma, rel=0.03)


@pytest.mark.parametrize("augmentation", ["nnunet", "none"])
def test_the_data_module_finishes_batches_there(device: torch.device, augmentation: str) -> None:
    """The hook that Lightning calls; labels are float32 afterwards."""
    data = object.__new__(PatchDataModule)  # the hook asks for these alone
    data.patch_size, data.seed, data.augmentation, data.drop_modality = PATCH, SEED, augmentation, 0.0  # type: ignore[assignment]
    data.trainer = SimpleNamespace(training=True)  # type: ignore[assignment]
    samples = [s for s in make_samples(device) if augmentation == "nnunet" or s.affine is None]
    own = data.on_after_batch_transfer(moved(samples, device), 0)
    chain = Augmentation(patch_size=PATCH, seed=SEED, enabled=augmentation == "nnunet")
    new = [s for s in make_samples(device) if augmentation == "nnunet" or s.affine is None]
    expected = Collate(chain)(new)
    assert own["source"]["label"].dtype is torch.float32
    expected["source"]["label"] = expected["source"]["label"].float()
    assert_close(own, expected, device)
