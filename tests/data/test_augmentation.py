"""The chain as a whole: what it draws, and what it makes of samples."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from pedseg.data import spatial
from pedseg.data.augmentation import Augmentation, Collate, Sample, augment_sides, draw_dropped, draw_intensity
from pedseg.data.sampling import SampleKey, Stream, random_stream
from pedseg.labels import Domain

PATCH = (16, 16, 16)


def make_sample(position: int, *, side: Domain = Domain.SOURCE, turned: bool = False, epoch: int = 0) -> Sample:
    """A sample with its brain in one half and its tumour marked in the image."""
    rng = np.random.default_rng(position)
    matrix = 0.9 * spatial.rotation_matrix([0.3, 0.2, 0.1]) if turned else None
    box = spatial.required_box(matrix, (10, 10, 10), PATCH, (40, 40, 40))
    brain = np.zeros((1, *box.size), dtype=bool)
    brain[:, : box.size[0] // 2] = True
    label = np.zeros((3, *box.size), dtype=np.uint8)
    label[0, 2:7, 3:8, 4:9] = 1
    image = (rng.standard_normal((4, *box.size)) + 20 * label[:1]).astype(np.float32) * brain
    tensors = torch.from_numpy(image), torch.from_numpy(brain), torch.from_numpy(label)
    key = SampleKey(epoch, 0, side, position, foreground=False)
    return Sample(*tensors[:2], tensors[2] if side is Domain.SOURCE else None, box.affine, key)


def test_frequencies_are_nnunets() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_intensity(rng) for _ in range(6000)]
    per_channel = 1 - 0.5**4  # transforms with p 0.5 per channel may fire on none
    expected: dict[str, float] = {
        "noise": 0.1,
        "blur": 0.2 * per_channel,
        "brightness": 0.15,
        "contrast": 0.15,
        "low_resolution": 0.25 * per_channel,
        "inverted_gamma": 0.1,
        "gamma": 0.3,
        "mirror": 1 - 0.5**3,
    }
    for name, probability in expected.items():
        share = sum(bool(getattr(parameters, name)) for parameters in drawn) / len(drawn)
        assert share == pytest.approx(probability, abs=0.025), name
    blurred = [len(parameters.blur) for parameters in drawn if parameters.blur]
    assert np.mean(blurred) == pytest.approx(2 / per_channel, abs=0.15)
    for axis in range(3):
        assert np.mean([axis in parameters.mirror for parameters in drawn]) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("values", "low", "high", "below_one"),
    [
        (lambda p: [p.noise[0]] if p.noise else [], 0.0, 0.1, 1.0),
        (lambda p: [s for sigmas in p.blur.values() for s in sigmas], 0.5, 1.0, 1.0),
        (lambda p: p.brightness or [], 0.75, 1.25, 0.5),
        (lambda p: p.contrast or [], 0.75, 1.25, 0.5),
        (lambda p: list(p.low_resolution.values()), 0.5, 1.0, 1.0),
        (lambda p: p.inverted_gamma or [], 0.7, 1.5, 0.5),
        (lambda p: p.gamma or [], 0.7, 1.5, 0.5),
    ],
    ids=["noise", "blur", "brightness", "contrast", "low_resolution", "inverted_gamma", "gamma"],
)
def test_ranges_are_nnunets(values: Callable[[object], list[float]], low: float, high: float, below_one: float) -> None:
    rng = np.random.default_rng(1)
    drawn = np.array([value for _ in range(3000) for value in values(draw_intensity(rng))])
    margin = 0.03 * (high - low)
    assert low <= drawn.min() < low + margin
    assert high - margin < drawn.max() <= high
    assert np.mean(drawn <= 1) == pytest.approx(below_one, abs=0.06)


@pytest.mark.parametrize("turned", [False, True])
def test_sample_does_not_depend_on_its_batch(turned: bool) -> None:
    chain = Augmentation(patch_size=PATCH, seed=3)
    alone = [chain([make_sample(i, turned=turned)]) for i in range(6)]
    together = chain([make_sample(i, turned=turned) for i in range(6)])
    for name in ("image", "label"):
        assert torch.equal(together[name], torch.cat([batch[name] for batch in alone]))
    other = Augmentation(patch_size=PATCH, seed=4)([make_sample(0, turned=turned)])
    later = chain([make_sample(0, turned=turned, epoch=1)])
    assert not torch.equal(other["image"], alone[0]["image"])
    assert not torch.equal(later["image"], alone[0]["image"])


@pytest.mark.parametrize("turned", [False, True])
def test_shapes_types_and_zero_outside_the_brain(turned: bool) -> None:
    batch = Augmentation(patch_size=PATCH, seed=3)([make_sample(i, turned=turned) for i in range(12)])
    assert batch["image"].shape == (12, 4, *PATCH)
    assert batch["image"].dtype is torch.float32
    assert batch["label"].shape == (12, 3, *PATCH)
    assert batch["label"].dtype is torch.bool
    assert torch.isfinite(batch["image"]).all()
    outside = (batch["image"] == 0).all(dim=1).flatten(1).float().mean(1)
    assert (outside > 0.3).all()  # noise, blur and contrast reach outside the brain and are taken back


def test_label_follows_the_image() -> None:
    """The marked tumour stays the brightest part, so its label must lie on it after mirroring and rotation."""
    for turned in (False, True):
        batch = Augmentation(patch_size=PATCH, seed=5)([make_sample(i, turned=turned) for i in range(16)])
        for image, label in zip(batch["image"], batch["label"], strict=True):
            inside = image[:, label[0]].mean()
            assert inside > 5 * image[:, ~label[0]].std().clamp(max=1.5)


def test_mirroring_is_the_drawn_one() -> None:
    sample = make_sample(2)
    drawn = draw_intensity(random_stream(3, sample.key, Stream.INTENSITY))
    assert sample.label is not None
    expected = sample.label.bool().flip([axis + 1 for axis in drawn.mirror])
    assert torch.equal(Augmentation(patch_size=PATCH, seed=3)([sample])["label"][0], expected)


def test_disabled_chain_passes_patches_through() -> None:
    sample = make_sample(1)
    batch = Augmentation(patch_size=PATCH, seed=3, enabled=False)([sample])
    assert sample.label is not None
    assert torch.equal(batch["image"][0], sample.image)
    assert torch.equal(batch["label"][0], sample.label.bool())


def test_collate_groups_by_domain_and_leaves_an_empty_side_out() -> None:
    chain = Augmentation(patch_size=PATCH, seed=3)
    samples = [make_sample(0), make_sample(1), make_sample(0, side=Domain.TARGET)]
    batch = Collate(chain)(samples)
    assert {side: set(tensors) for side, tensors in batch.items()} == {
        "source": {"image", "label"},
        "target": {"image"},
    }
    assert list(Collate(chain)([make_sample(0, side=Domain.TARGET)])) == ["target"]
    packed = Collate(None)([make_sample(0), make_sample(1), make_sample(0, side=Domain.TARGET)])
    later = augment_sides(packed, chain)
    for side, tensors in batch.items():
        assert all(torch.equal(value, later[side][name]) for name, value in tensors.items())


def test_sequences_are_dropped_as_often_as_asked_and_never_all() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_dropped(rng, probability=0.2) for _ in range(4000)]
    for channel in range(4):
        assert np.mean([channel in dropped for dropped in drawn]) == pytest.approx(0.2, abs=0.02)
    assert {len(draw_dropped(rng, probability=1.0)) for _ in range(50)} == {3}
    assert {channel for _ in range(50) for channel in draw_dropped(rng, probability=1.0)} == {0, 1, 2, 3}


@pytest.mark.parametrize("enabled", [True, False])
def test_dropping_zeroes_channels_and_changes_nothing_else(*, enabled: bool) -> None:
    """What a sample loses follows from its key alone, and no other random number moves."""
    samples = [make_sample(position, turned=position % 2 == 0) for position in range(12)]
    plain = Augmentation(patch_size=PATCH, seed=1, enabled=enabled)([*map(copied, samples)])
    chain = Augmentation(patch_size=PATCH, seed=1, enabled=enabled, drop_modality=0.4)
    dropping = chain([*map(copied, samples)])
    gone = dropping["image"].flatten(2).abs().amax(-1) == 0
    assert 0 < gone.float().mean() < 1
    assert not gone.all(dim=1).any()
    assert torch.equal(dropping["image"][~gone], plain["image"][~gone])
    assert torch.equal(dropping["label"], plain["label"])
    alone = chain([copied(samples[7])])
    assert torch.equal(alone["image"][0], dropping["image"][7])


def copied(sample: Sample) -> Sample:
    """The chain changes images in place."""
    return sample._replace(image=sample.image.clone())


def test_ignored_voxels_move_with_the_image() -> None:
    """Rotated, scaled and mirrored as the regions are: ignored is what weighs more than one half."""
    sample = make_sample(3, turned=True)
    assert sample.label is not None
    ignored = torch.zeros_like(sample.label[:1])
    ignored[:, 4:12, 5:15, 3:14] = 1
    label = torch.cat([sample.label * (1 - ignored), ignored])
    chain = Augmentation(patch_size=PATCH, seed=0)
    batch = chain([sample._replace(image=sample.image.clone(), label=label)])
    assert sample.affine is not None
    weight = spatial.resample(tuple(label), sample.affine, PATCH)
    mirror = draw_intensity(random_stream(0, sample.key, Stream.INTENSITY)).mirror
    expected = (weight > 0.5).flip([1 + axis for axis in mirror])
    assert batch["label"].shape == (1, 4, *PATCH)
    assert torch.equal(batch["label"][0], expected)
    assert expected[3].any()
    assert not (expected[0] & expected[3]).any()
    plain = chain([sample._replace(image=sample.image.clone(), label=label[:3])])
    assert torch.equal(plain["label"], batch["label"][:, :3])
    assert torch.equal(plain["image"], batch["image"])
