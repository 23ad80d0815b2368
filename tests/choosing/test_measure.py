"""What is measured on whole cases and patches, against plain numpy on the same network."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from pedseg.choosing.measure import measure_source, measure_target, patch_features
from pedseg.data import CohortStore, StoredCase
from pedseg.errors import PedsegError
from pedseg.inference import LoadedNetwork, Predictor, Settings
from pedseg.networks import UNet

AXES = (0, 2)  # that the network says it was mirrored along


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """A random network whose masks are neither empty nor full."""
    torch.manual_seed(0)
    network = UNet(patch_size=(16, 16, 16), spacing_mm=(8, 8, 8), base_features=4, max_features=16).eval()
    loaded = LoadedNetwork(network, (16, 16, 16), (8.0, 8.0, 8.0), "", AXES)
    return Predictor([Path("a")], device=torch.device("cpu"), settings=Settings(mirror=False), load=lambda _: loaded)


def stored(world: Path, cohort: str) -> StoredCase:
    store = CohortStore(world / "store" / cohort)
    return store.open(store.case_ids[1])


def test_source_dice_of_a_whole_case(predictor: Predictor, toy_world: Path) -> None:
    case = stored(toy_world, "adult")
    image, _ = case.read_image((0, 0, 0), case.shape)
    label = case.read_label((0, 0, 0), case.shape).astype(bool)
    prediction = predictor.logits(torch.from_numpy(image)).numpy() > 0
    assert prediction.any()
    assert not prediction.all()
    dice = [2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in zip(prediction, label, strict=True)]
    measured = measure_source(predictor, case, seed=0)
    assert measured.dice == pytest.approx(np.mean(dice))
    assert measured.dice > 0
    assert measured.control is not None
    core = prediction.copy()
    core[1] = prediction[0]
    dice = [2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in zip(core, label, strict=True)]
    assert measured.control.dice == pytest.approx(np.mean(dice))
    assert measured.binned[:, 0].sum(axis=1) == pytest.approx([1, 1, 1])
    assert not np.array_equal(measured.binned[1], measured.control.binned[1])
    assert np.array_equal(measured.binned[0], measured.control.binned[0])


def test_source_dice_leaves_out_what_is_ignored(predictor: Predictor, toy_world: Path) -> None:
    case = stored(toy_world, "adult")
    image, _ = case.read_image((0, 0, 0), case.shape)
    masks = np.concatenate([case.read_label((0, 0, 0), case.shape), np.zeros((1, *case.shape), dtype=np.uint8)])
    masks[3, : case.shape[0] // 2] = 1
    partly = SimpleNamespace(
        id=case.id,
        shape=case.shape,
        spacing_mm=case.spacing_mm,
        folder=case.folder,
        ignores=True,
        read_image=case.read_image,
        read_label=lambda start, size, *, ignored: masks[: 3 + ignored],
    )
    kept = slice(case.shape[0] // 2, None)
    prediction = predictor.logits(torch.from_numpy(image)).numpy()[:, kept] > 0
    label = masks[:3, kept].astype(bool)
    pairs = zip(prediction, label, strict=True)
    dice = [2 * (a & b).sum() / (a.sum() + b.sum()) if a.any() or b.any() else 1 for a, b in pairs]
    assert measure_source(predictor, partly, seed=0).dice == pytest.approx(np.mean(dice))  # type: ignore[arg-type]
    assert measure_source(predictor, case, seed=0).dice != pytest.approx(np.mean(dice))


def test_confidence_flips_and_masks_of_the_target(predictor: Predictor, toy_world: Path) -> None:
    case = stored(toy_world, "ped")
    array, brain = case.read_image((0, 0, 0), case.shape)
    image = torch.from_numpy(array)
    logits = predictor.logits(image)
    q = logits.sigmoid().numpy().astype(float)[:, brain[0]]
    measured = measure_target(predictor, case, seed=0)
    entropy = np.mean(-q * np.log(q) - (1 - q) * np.log(1 - q), axis=1)
    np.testing.assert_allclose(measured.confidence.entropy, entropy, rtol=1e-5)
    np.testing.assert_allclose(measured.confidence.probability, q.mean(axis=1), rtol=1e-5)
    masks = logits.numpy() > 0
    np.testing.assert_array_equal(measured.masks, masks)
    assert measured.volumes_mm3 == tuple(8.0**3 * np.logical_or.reduce(masks[i:]).sum() for i in range(3))
    dice = []
    for axis in AXES:
        mirrored = predictor.logits(image.flip(1 + axis)).flip(1 + axis).numpy() > 0
        dice += [2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in zip(mirrored, masks, strict=True)]
    assert measured.flip_agreement == pytest.approx(np.mean(dice))
    assert 0 < np.mean(dice) < 1
    soft = [2 * p[p > 0.5].sum() / (p.sum() + (p > 0.5).sum()) for p in q]
    assert measured.soft_dice == pytest.approx(np.mean(soft), rel=1e-5)
    assert measured.control is not None
    assert np.array_equal(measured.control.masks[1], masks[0])
    assert measured.control.volumes_mm3[1] == measured.volumes_mm3[0]


def test_a_network_that_was_not_mirrored_has_no_flip_agreement(
    predictor: Predictor, toy_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor, "mirror_axes", [()])
    assert measure_target(predictor, stored(toy_world, "ped"), seed=0).flip_agreement is None


def test_features_are_drawn_by_seed_and_case(predictor: Predictor, toy_world: Path) -> None:
    case = stored(toy_world, "ped")
    one, again, other = (patch_features(predictor, case, seed=seed) for seed in (0, 0, 1))
    assert one.pooled["decoder"].shape == (4, 4)
    assert one.pooled["bottleneck"].shape == (4, predictor.networks[0].bottleneck_shape[0])
    assert one.voxels.shape == (100, 4)
    np.testing.assert_array_equal(one.voxels, again.voxels)
    assert not np.array_equal(one.voxels, other.voxels)


def test_features_of_the_decoder_are_those_of_the_brain(
    predictor: Predictor, toy_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder that is 1 in the brain and 0 outside gives 1; a bottleneck of 0 and 1 its share."""
    shares = []

    def forward_features(x: Tensor) -> SimpleNamespace:
        brain = (x != 0).any(1, keepdim=True).float()
        shares.append(float(brain.mean()))
        return SimpleNamespace(decoder=[brain], bottleneck=brain)

    monkeypatch.setattr(predictor.networks[0], "forward_features", forward_features)
    features = patch_features(predictor, stored(toy_world, "ped"), seed=0)
    np.testing.assert_array_equal(features.voxels, 1)
    np.testing.assert_array_equal(features.pooled["decoder"], 1)
    np.testing.assert_allclose(features.pooled["bottleneck"][:, 0], shares, rtol=1e-6)
    assert min(shares) < 1


def test_a_store_of_other_voxels_is_refused(predictor: Predictor, toy_world: Path) -> None:
    case = replace(stored(toy_world, "ped"), spacing_mm=(4.0, 4.0, 4.0))
    with pytest.raises(PedsegError, match="is prepared at"):
        measure_target(predictor, case, seed=0)
