"""Thresholds of known parts of WT against a search over the voxels, and networks that have them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pedseg.calibration.calibration import Calibration
from pedseg.calibration.record import read_thresholds, write_thresholds
from pedseg.errors import PedsegError
from pedseg.files import read_json
from pedseg.inference import Predictor, Settings, load_network
from pedseg.interop.portable import load_portable
from pedseg.labels import Region, get_convention
from pedseg.metrics.histogram import WIDTH
from pedseg.networks import AboveThresholds, UNet, above
from pedseg.settings.variants import Variant
from tests.builders import write_checkpoint

PATCH = (16, 16, 16)
THRESHOLDS = (0.0, -0.5, 0.25)


def case(seed: int, *, shift: float = 0.0, size: int = 24) -> Tensor:
    """Logits of WT, TC and ET that go together, in a volume of its own size."""
    generator = torch.Generator().manual_seed(seed)
    shared = 3 * torch.randn(size, size, size - 4, generator=generator)
    own = torch.randn(3, size, size, size - 4, generator=generator)
    return shared + own + torch.tensor([0.0, -2.0 + shift, -4.0])[:, None, None, None]


def mean_share(cases: list[Tensor], region: int, threshold: float) -> float:
    """What the thresholds are to reach, case by case."""
    return float(np.mean([((c[0] > 0) & (c[region] > threshold)).sum() / (c[0] > 0).sum() for c in cases]))


def published(shares: Mapping[str, object], cases: Sequence[Tensor]) -> Calibration:
    """A calibration on logits of cases."""
    how = Variant.model_validate({"shares": shares, "target": ["ped"]})
    calibration = Calibration(how, images=len(cases))
    for index, logits in enumerate(cases):
        calibration.target.count(index, logits)
    return calibration


def cuts(calibration: Calibration) -> list[float]:
    found = calibration.thresholds()
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("shares", [{"tc": 0.922}, {"tc": 0.3}, {"tc": 0.85, "et": 0.18}])
def test_each_part_gets_its_share_in_the_mean_over_cases(shares: Mapping[str, float]) -> None:
    cases = [case(0), case(1, shift=-3.0, size=12), case(2, shift=2.0, size=20)]
    calibration = published(shares, cases)
    thresholds, found = cuts(calibration), {part.region: part.found for part in calibration.parts()}
    for index, region in enumerate(Region):
        if region in shares:
            assert mean_share(cases, index, thresholds[index]) == pytest.approx(shares[region], abs=0.005)
            assert found[region] == pytest.approx(mean_share(cases, index, 0.0), abs=1e-6)
        else:
            assert thresholds[index] == 0


def test_of_an_interval_the_nearest_value_is_taken() -> None:
    cases = [case(0), case(1)]
    own = published({"tc": 0.5}, cases).parts()[0].found
    for low, high in ((own + 0.1, own + 0.2), (own - 0.2, own - 0.1), (own - 0.1, own + 0.1)):
        (part,) = published({"tc": [low, high]}, cases).parts()
        assert part.share == pytest.approx(min(max(own, low), high))
        assert mean_share(cases, 1, part.threshold) == pytest.approx(part.share, abs=0.005)
    assert part.threshold == pytest.approx(0, abs=WIDTH)  # it had what is plausible


def test_a_large_tumour_weighs_as_much_as_a_small_one() -> None:
    one, other = case(0, shift=3.0, size=40), case(1, shift=-3.0, size=10)
    threshold = cuts(published({"tc": 0.5}, [one, other]))[1]
    pooled = torch.cat([logits[1][logits[0] > 0] for logits in (one, other)])
    assert abs(threshold - float(pooled.quantile(0.5))) > 5 * WIDTH
    assert mean_share([one, other], 1, threshold) == pytest.approx(0.5, abs=0.01)


def test_cases_without_tumour_have_no_say() -> None:
    empty = case(3).sub(100)
    alone = published({"tc": 0.9}, [case(0), case(1)])
    beside = published({"tc": 0.9}, [case(0), empty, case(1), empty])
    assert cuts(beside) == cuts(alone)
    assert (beside.cases, beside.images) == (2, 4)
    assert published({"tc": 0.9}, [empty]).thresholds() is None


def test_counts_of_processes_add_up() -> None:
    whole = published({"tc": 0.9, "et": 0.2}, [case(seed) for seed in range(4)])
    first, second = (published({"tc": 0.9, "et": 0.2}, [torch.zeros(3, 1, 1, 1)] * 4) for _ in range(2))
    for seed in range(4):
        (first if seed % 2 else second).target.count(seed, case(seed))
    first.target.values += second.target.values
    assert cuts(first) == cuts(whole)


def test_logits_above_thresholds_are_nested() -> None:
    torch.manual_seed(0)
    network = UNet(patch_size=PATCH, base_features=4, max_features=8).eval()
    image = torch.randn(2, 4, *PATCH)
    with torch.inference_mode():
        before, after = network(image), AboveThresholds(network, THRESHOLDS)(image)
    expected = before.numpy() - np.array(THRESHOLDS, dtype=np.float32).reshape(1, 3, 1, 1, 1)
    assert np.array_equal(after.numpy(), np.minimum.accumulate(expected, axis=1))
    assert (after[:, 1:] <= after[:, :-1]).all()


@pytest.mark.parametrize("thresholds", [[0.0, 1.0], [0.0, float("nan"), 0.0], [0.0, float("inf"), 0.0]])
def test_refused_thresholds(tmp_path: Path, thresholds: list[float]) -> None:
    with pytest.raises(PedsegError, match="give a finite logit for each of the 3 regions"):
        load_portable(write_checkpoint(tmp_path / "last.ckpt"), thresholds=thresholds)


def test_thresholds_lie_beside_the_network(tmp_path: Path) -> None:
    checkpoint, beside = write_checkpoint(tmp_path / "a b" / "last.ckpt", seed=3), tmp_path / "thresholds.json"
    parts = published({"tc": 0.85, "et": 0.18}, [case(0), case(1).sub(100)])
    write_thresholds(beside, parts)
    assert read_thresholds(beside) == pytest.approx(cuts(parts), abs=0)
    assert {**read_json(beside), "thresholds": None, "found": None} == {
        "thresholds": None, "rule": "published", "found": None, "shares": {"tc": 0.85, "et": 0.18}, "evidence": {},
        "images": 2, "cases": 1,
    }  # fmt: skip
    settings, device = Settings(mirror=False), torch.device("cpu")
    plain = Predictor([checkpoint], device=device, settings=settings)
    calibrated = Predictor([checkpoint], device=device, settings=settings, thresholds=[list(THRESHOLDS)])
    image = torch.randn(4, 20, 18, 17, generator=torch.Generator().manual_seed(0))
    raw, shifted = plain.logits(image), calibrated.logits(image)
    assert torch.equal(shifted, above(raw, torch.tensor(THRESHOLDS)))
    convention = get_convention("brats2023")
    assert calibrated.record(convention) == {**plain.record(convention), "thresholds": pytest.approx(THRESHOLDS)}


def test_where_no_image_has_a_tumour_there_are_none(tmp_path: Path) -> None:
    write_thresholds(tmp_path / "thresholds.json", published({"tc": 0.9}, [case(0).sub(100)]))
    assert read_thresholds(tmp_path / "thresholds.json") is None
    (tmp_path / "thresholds.json").write_text("{}")
    with pytest.raises(PedsegError, match="holds no thresholds"):
        read_thresholds(tmp_path / "thresholds.json")


def test_a_checkpoint_of_before_variants_keeps_its_own(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "last.ckpt", seed=3)
    plain = load_network(path)
    content = torch.load(path, weights_only=True)
    content["pedseg"]["network"]["thresholds"] = list(THRESHOLDS)
    torch.save(content, path)
    loaded = load_network(path)
    assert (plain.thresholds, loaded.thresholds) == (None, THRESHOLDS)
    assert loaded.network.settings == plain.network.settings
    image = torch.randn(4, 20, 18, 17, generator=torch.Generator().manual_seed(0))
    own, beside, without = (
        Predictor([path], device=torch.device("cpu"), settings=Settings(mirror=False), thresholds=given).logits(image)
        for given in (None, [list(THRESHOLDS)], [None])
    )
    assert torch.equal(own, beside)
    assert not torch.equal(own, without)
