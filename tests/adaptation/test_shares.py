"""Thresholds of known shares against NumPy's quantiles, their memory, and counts of several processes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pedseg.adaptation import MeanTeacher
from pedseg.adaptation.shares import ShareThresholds
from pedseg.errors import PedsegError
from pedseg.labels import Region
from pedseg.metrics.histogram import LIMIT, WIDTH, bins_of
from tests.adaptation.steps import made

SHARES = {Region.WT: 0.12, Region.TC: 0.05, Region.ET: 0.004}
SIZE = (12, 14, 10)

PROGRAM = """
import sys
import torch
from torch import distributed
from pedseg.adaptation.shares import ShareThresholds

folder, rank, world = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if world > 1:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
thresholds = ShareThresholds({"wt": 0.2, "et": 0.1}, decay=0.5)
generator = torch.Generator().manual_seed(0)
for step in range(4):
    logits = 3 * torch.randn(4, 3, 6, 6, 6, generator=generator)
    brain = torch.rand(4, 1, 6, 6, 6, generator=generator) > 0.3
    mine = slice(rank * 4 // world, (rank + 1) * 4 // world)
    if step == 2:  # a step in which the first process alone has a target
        mine = slice(0, 4 if rank == 0 else 0)
    if logits[mine].numel():
        thresholds.count(logits[mine], brain[mine])
    thresholds.merge()
torch.save({"state": thresholds.state_dict(), "thresholds": thresholds.thresholds()}, f"{folder}/{world}.{rank}")
"""


def batch(seed: int, *, shift: float = 0.0, samples: int = 3) -> tuple[Tensor, Tensor]:
    """Logits of which each region's are spread differently, and a brain."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.tensor([3.0, 2.0, 1.0]).view(3, 1, 1, 1)
    logits = spread * torch.randn(samples, 3, *SIZE, generator=generator) - 2 + shift
    return logits, torch.rand(samples, 1, *SIZE, generator=generator) > 0.4


def met(thresholds: ShareThresholds, *batches: tuple[Tensor, Tensor]) -> ShareThresholds:
    """Let it see a step per batch."""
    for logits, brain in batches:
        thresholds.count(logits, brain)
        thresholds.merge()
    return thresholds


def quantiles(batches: list[tuple[Tensor, Tensor]], shares: dict[Region, float], weights: Any = None) -> list[float]:
    """Logit that a share of the brain voxels of all batches exceeds, by region, from the sorted logits."""
    wanted = []
    for index, region in enumerate(Region):
        inside = [logits[:, index][brain[:, 0]].double().numpy() for logits, brain in batches]
        values = np.concatenate(inside)
        weight = np.repeat(np.ones(len(batches)) if weights is None else weights, [len(v) for v in inside])
        order = np.argsort(values)
        below = np.cumsum(weight[order]) / weight.sum()
        wanted.append(values[order][np.searchsorted(below, 1 - shares[region])])
    return wanted


def test_thresholds_are_the_quantiles_of_all_that_was_met() -> None:
    """Within a bin, and so do the shares above them agree with those asked for."""
    batches = [batch(seed, shift=0.01 * seed) for seed in range(60)]
    found = met(ShareThresholds(SHARES, decay=0.98), *batches).thresholds()
    weights = [0.98 ** (59 - step) for step in range(60)]
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx(quantiles(batches, SHARES, weights), abs=WIDTH)
    above = [[(logits[:, i][brain[:, 0]] > found[i]).double().mean() for logits, brain in batches] for i in range(3)]
    shares = [np.average(values, weights=weights) for values in above]
    assert shares == pytest.approx(list(SHARES.values()), rel=0.03)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.8])
def test_what_was_counted_fades(decay: float) -> None:
    """A shift of the logits is followed at the pace of the decay."""
    steps = 12
    batches = [batch(seed, shift=5.0 * (seed < steps // 2)) for seed in range(steps)]
    found = met(ShareThresholds(SHARES, decay=decay), *batches).thresholds()
    weights = [decay ** (steps - 1 - step) for step in range(steps)]
    assert found.tolist() == pytest.approx(quantiles(batches, SHARES, weights), abs=WIDTH)
    unfaded = quantiles(batches, SHARES)
    assert all(u - f > 2 * WIDTH for f, u in zip(found.tolist(), unfaded, strict=True))


@pytest.mark.parametrize(("decay", "steps"), [(0.0, 1), (0.5, 2), (0.75, 4), (0.9, 10), (0.95, 20), (0.99, 100)])
def test_nothing_is_said_before_enough_steps(decay: float, steps: int) -> None:
    """1 / (1 - 0.9) is a little more than 10 in floating point, and ten steps are enough all the same."""
    thresholds = ShareThresholds(SHARES, decay=decay)
    one = batch(1, samples=1)
    met(thresholds, *[one] * (steps - 1))
    assert thresholds.thresholds().tolist() == [0, 0, 0]
    met(thresholds, one)
    assert all(value != 0 for value in thresholds.thresholds().tolist())


def test_regions_without_a_share_stay_at_zero() -> None:
    found = met(ShareThresholds({Region.TC: 0.05}, decay=0.0), batch(1)).thresholds().tolist()
    assert found[0] == found[2] == 0
    assert found[1] == pytest.approx(quantiles([batch(1)], SHARES)[1], abs=WIDTH)


def test_a_step_without_counts_changes_nothing() -> None:
    thresholds = met(ShareThresholds(SHARES, decay=0.5), batch(1), batch(2))
    before = {name: value.clone() for name, value in thresholds.state_dict().items()}
    thresholds.merge()
    logits, brain = batch(3)
    met(thresholds, (logits, torch.zeros_like(brain)))
    assert all(torch.equal(value, before[name]) for name, value in thresholds.state_dict().items())


def test_counts_of_one_step_add_up_and_are_seen_after_it() -> None:
    """A step may count several times; its thresholds are those from before it."""
    logits, brain = batch(1)
    whole = met(ShareThresholds(SHARES, decay=0.0), (logits, brain))
    parts = ShareThresholds(SHARES, decay=0.0)
    for part in range(3):
        parts.count(logits[part : part + 1], brain[part : part + 1])
        assert parts.thresholds().tolist() == [0, 0, 0]
    parts.merge()
    assert torch.equal(parts.mass, whole.mass)
    assert torch.equal(parts.thresholds(), whole.thresholds())
    assert parts.mass.sum(1).tolist() == [brain.sum()] * 3


def test_the_state_is_saved_and_taken_up() -> None:
    first = met(ShareThresholds(SHARES, decay=0.5), batch(1), batch(2))
    second = ShareThresholds(SHARES, decay=0.5)
    second.load_state_dict(first.state_dict())
    assert torch.equal(met(first, batch(3)).thresholds(), met(second, batch(3)).thresholds())
    assert set(first.state_dict()) == {"mass", "pending", "seen"}
    assert int(second.seen) == 3


@pytest.mark.parametrize("value", [-50.0, -LIMIT, LIMIT, 50.0, float("inf"), float("-inf"), float("nan")])
def test_extremes_stay_within_the_limits(value: float) -> None:
    """All voxels at one end, or a network that has diverged: the threshold is in the last bin, and finite."""
    logits, brain = batch(1)
    found = met(ShareThresholds(SHARES, decay=0.0), (torch.full_like(logits, value), brain)).thresholds()
    end = LIMIT - WIDTH / 2 if value > 0 else WIDTH / 2 - LIMIT
    assert found.tolist() == pytest.approx([end] * 3, abs=WIDTH / 2 + 1e-5)


def test_two_heaps_with_nothing_between() -> None:
    """The share lies exactly between them: the threshold does too, at an end of the empty part at least."""
    logits = torch.full((1, 3, 10, 10, 10), -5.05)
    logits[..., :2] = 5.05
    found = met(ShareThresholds({Region.WT: 0.2}, decay=0.0), (logits, torch.ones(1, 1, 10, 10, 10, dtype=torch.bool)))
    assert -5.05 < found.thresholds()[0] < 5.05
    assert int((logits[:, 0] > found.thresholds()[0]).sum()) == 200


def test_bfloat16_logits_are_counted() -> None:
    logits, brain = batch(1)
    thresholds = met(ShareThresholds(SHARES, decay=0.0), (logits.bfloat16(), brain))
    assert thresholds.mass.shape == (3, bins_of())
    assert thresholds.thresholds().tolist() == pytest.approx(quantiles([batch(1)], SHARES), abs=2 * WIDTH)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch is built without distributed")
def test_two_processes_count_what_one_does(tmp_path: Path) -> None:
    """Bit for bit, also in a step in which one of them has no target."""
    program = tmp_path / "count.py"
    program.write_text(PROGRAM)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    places = [("0", "1"), ("0", "2"), ("1", "2")]
    started = [
        subprocess.Popen([sys.executable, str(program), str(tmp_path), *place], env=environment) for place in places
    ]
    assert [process.wait(timeout=120) for process in started] == [0, 0, 0]
    one, first, second = (torch.load(tmp_path / f"{world}.{rank}", weights_only=True) for rank, world in places)
    for other in (first, second):
        assert torch.equal(other["thresholds"], one["thresholds"])
        assert all(torch.equal(value, other["state"][name]) for name, value in one["state"].items())
    assert one["state"]["seen"] == 4
    assert one["thresholds"][0] != 0


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"wt": 0.0}, r"m\.shares\.wt=0\.0: should be greater than 0"),
        ({"wt": 1}, r"shares\.wt=1"),
        ({"tc": -0.1}, r"shares\.tc=-0\.1"),
        ({"et": float("nan")}, r"shares\.et=nan"),
        ({"et": float("inf")}, r"shares\.et=inf"),
        ({"et": None}, r"shares\.et=None"),
        ({"edema": 0.1}, r"shares\.edema='edema': should be 'wt', 'tc' or 'et'"),
        ({"wt": 0.03, "tc": 0.04}, "et is part of tc and tc of wt"),
        ({"wt": 0.03, "et": 0.04}, "give no part more"),
    ],
)
def test_impossible_shares_are_refused(shares: dict[str, Any], message: str) -> None:
    with pytest.raises(PedsegError, match=message):
        made(MeanTeacher, shares=shares)


def test_equal_shares_are_possible() -> None:
    teacher = made(MeanTeacher, shares={"wt": 0.1, "tc": 0.1})
    assert isinstance(teacher, MeanTeacher)
    assert teacher.shares is not None
    assert teacher.shares.shares == {Region.WT: 0.1, Region.TC: 0.1}
