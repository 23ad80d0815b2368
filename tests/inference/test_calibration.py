"""Thresholds of known parts of WT against a search over the voxels, and networks that have them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pedseg.errors import PedsegError
from pedseg.inference import Predictor, Settings, load_network
from pedseg.inference.calibration import PartThresholds, thresholds_of, write_thresholds
from pedseg.labels import Region
from pedseg.metrics.histogram import WIDTH
from pedseg.networks import UNet, rebuild
from tests.builders import write_checkpoint

PATCH = (16, 16, 16)


def case(seed: int, *, shift: float = 0.0, size: int = 24) -> Tensor:
    """Logits of WT, TC and ET that go together, in a volume of its own size."""
    generator = torch.Generator().manual_seed(seed)
    shared = 3 * torch.randn(size, size, size - 4, generator=generator)
    own = torch.randn(3, size, size, size - 4, generator=generator)
    return shared + own + torch.tensor([0.0, -2.0 + shift, -4.0])[:, None, None, None]


def mean_share(cases: list[Tensor], region: int, threshold: float) -> float:
    """What the thresholds are to reach, case by case."""
    return float(np.mean([((c[0] > 0) & (c[region] > threshold)).sum() / (c[0] > 0).sum() for c in cases]))


@pytest.mark.parametrize("ratios", [{"tc": 0.922}, {"tc": 0.3}, {"tc": 0.85, "et": 0.18}])
def test_each_part_gets_its_share_in_the_mean_over_cases(ratios: Mapping[str, float]) -> None:
    cases = [case(0), case(1, shift=-3.0, size=12), case(2, shift=2.0, size=20)]
    parts = PartThresholds(ratios)
    for one in cases:
        parts.count(one)
    thresholds = parts.thresholds()
    for index, region in enumerate(Region):
        if region in ratios:
            assert mean_share(cases, index, thresholds[index]) == pytest.approx(ratios[region], abs=0.005)
            assert parts.found()[region] == pytest.approx(mean_share(cases, index, 0.0), abs=1e-6)
        else:
            assert thresholds[index] == 0


def test_a_large_tumour_weighs_as_much_as_a_small_one() -> None:
    one, other = case(0, shift=3.0, size=40), case(1, shift=-3.0, size=10)
    parts = PartThresholds({"tc": 0.5})
    for logits in (one, other):
        parts.count(logits)
    pooled = torch.cat([logits[1][logits[0] > 0] for logits in (one, other)])
    assert abs(parts.thresholds()[1] - float(pooled.quantile(0.5))) > 5 * WIDTH
    assert mean_share([one, other], 1, parts.thresholds()[1]) == pytest.approx(0.5, abs=0.01)


def test_cases_without_tumour_have_no_say() -> None:
    alone, beside = PartThresholds({"tc": 0.9}), PartThresholds({"tc": 0.9})
    empty = case(3).sub(100)
    for logits in (case(0), case(1)):
        alone.count(logits)
        beside.count(logits)
        beside.count(empty)
    assert beside.thresholds() == alone.thresholds()
    assert beside.cases == 2
    nothing = PartThresholds({"tc": 0.9})
    nothing.count(empty)
    with pytest.raises(PedsegError, match="no tumour was found"):
        nothing.thresholds()


def test_counts_of_processes_add_up() -> None:
    whole, first, second = (PartThresholds({"tc": 0.9, "et": 0.2}) for _ in range(3))
    for seed in range(4):
        whole.count(case(seed))
        (first if seed % 2 else second).count(case(seed))
    first.totals += second.totals
    first.cases += second.cases
    assert first.thresholds() == pytest.approx(whole.thresholds(), abs=1e-12)


@pytest.mark.parametrize(
    ("ratios", "message"),
    [
        ({"wt": 0.5}, r"calibration\.ratios\.wt=0\.5: give tc or et"),
        ({"tc": 1.0}, r"ratios\.tc=1\.0"),
        ({"tc": 0}, r"ratios\.tc=0"),
        ({"et": None}, r"ratios\.et=None"),
        ({"ed": 0.1}, r"ratios\.ed=0\.1"),
    ],
)
def test_refused_ratios(ratios: Mapping[str, float], message: str) -> None:
    with pytest.raises(PedsegError, match=message):
        PartThresholds(ratios)


def test_a_calibrated_network_gives_nested_logits_above_its_thresholds() -> None:
    torch.manual_seed(0)
    network = UNet(patch_size=PATCH, base_features=4, max_features=8).eval()
    image = torch.randn(2, 4, *PATCH)
    with torch.inference_mode():
        before, raw = network(image), network.forward_features(image).logits[0]
        assert torch.equal(before, raw)
        network.calibrate([0.1, -0.4, 0.2])
        after = network(image)
        assert torch.equal(network.forward_features(image).logits[0], raw)  # what is trained is as it was
    expected = before.numpy() - np.array([0.1, -0.4, 0.2], dtype=np.float32).reshape(1, 3, 1, 1, 1)
    assert np.array_equal(after.numpy(), np.minimum.accumulate(expected, axis=1))
    assert (after[:, 1:] <= after[:, :-1]).all()
    assert "thresholds" not in network.state_dict()
    again = rebuild(network.settings)
    again.load_state_dict(network.state_dict())
    assert torch.equal(again.eval()(image), after)


@pytest.mark.parametrize("thresholds", [[0.0, 1.0], [0.0, float("nan"), 0.0], [0.0, float("inf"), 0.0]])
def test_refused_thresholds(thresholds: list[float]) -> None:
    with pytest.raises(PedsegError, match="give a finite logit for each of the 3 regions"):
        UNet(patch_size=PATCH, base_features=4, max_features=8, thresholds=thresholds)


def test_thresholds_are_kept_with_the_tensors(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "a b" / "last.ckpt", seed=3)
    plain = Predictor([path], device=torch.device("cpu"), settings=Settings(mirror=False))
    state = torch.load(path, weights_only=True)["state_dict"]
    assert thresholds_of(path) is None
    write_thresholds(path, [0.0, -0.5, 0.25])
    assert thresholds_of(path) == [0.0, -0.5, 0.25]
    assert [name.name for name in path.parent.iterdir()] == ["last.ckpt"]
    after = torch.load(path, weights_only=True)["state_dict"]
    assert state.keys() == after.keys()
    assert all(torch.equal(after[name], value) for name, value in state.items())
    calibrated = Predictor([path], device=torch.device("cpu"), settings=Settings(mirror=False))
    image = torch.randn(4, 20, 18, 17, generator=torch.Generator().manual_seed(0))
    raw, shifted = plain.logits(image), calibrated.logits(image)
    inside = raw[0] > 1  # where WT is sure in every window, the nesting has nothing to do
    torch.testing.assert_close(shifted[0], raw[0], rtol=0, atol=1e-6)
    assert ((shifted[1] > 0) <= (shifted[0] > 0)).all()
    assert ((raw[1] + 0.5)[inside] - shifted[1][inside]).min() >= -1e-6
    assert load_network(path).network.settings["thresholds"] == [0.0, -0.5, 0.25]
