"""The topology rule against by-hand plans and against nnU-Net's own planner."""

import json
import subprocess
from pathlib import Path

import pytest

from pedseg.errors import PedsegError
from pedseg.networks.topology import Topology, plan_topology
from tests.exactness import Exact

PEER_PROGRAM = """
import json, sys
from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props
for spacing, patch in json.loads(sys.argv[1]):
    _, strides, kernels, padded, divisor = get_pool_and_conv_props(spacing, patch, 4, 999999)
    print(json.dumps([strides, kernels, [int(n) for n in padded], [int(n) for n in divisor]]))
"""


def test_brats_preset_is_nnunets() -> None:
    plan = plan_topology(patch_size=(128, 128, 128))
    assert plan.features == (32, 64, 128, 256, 320, 320)
    assert plan.kernels == ((3, 3, 3),) * 6
    assert plan.strides == ((1, 1, 1), *(((2, 2, 2),) * 5))
    assert plan.divisor == (32, 32, 32)
    assert plan.stage_size((128, 128, 128), 1) == (64, 64, 64)


@pytest.mark.parametrize(
    ("patch", "divisor", "stages"),
    [
        ((16, 16, 16), (4, 4, 4), 3),
        ((32, 32, 32), (8, 8, 8), 4),
        ((48, 56, 48), (8, 8, 8), 4),
        ((64, 64, 64), (16, 16, 16), 5),
        ((128, 160, 112), (32, 32, 16), 6),  # the last stride is (2, 2, 1)
    ],
)
def test_smaller_patches_need_fewer_stages(
    patch: tuple[int, int, int], divisor: tuple[int, int, int], stages: int
) -> None:
    plan = plan_topology(patch_size=patch, base_features=8)
    assert plan.divisor == divisor
    assert len(plan.features) == stages


def test_thick_slices_keep_flat_kernels_until_spacings_meet() -> None:
    plan = plan_topology(patch_size=(16, 128, 128), spacing_mm=(5, 1, 1))
    assert plan.kernels[:3] == ((1, 3, 3), (1, 3, 3), (3, 3, 3))  # 5/1, 5/2, then 5/4 is less than 2
    assert plan.strides[:4] == ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2))


def test_a_misfit_names_axis_and_nearest_sizes() -> None:
    with pytest.raises(PedsegError, match=r"axis y has 130 voxels, not a multiple of 32; .* are 128 or 160"):
        plan_topology(patch_size=(128, 130, 128))


@pytest.mark.parametrize(
    ("patch", "spacing", "message"),
    [
        ((8, 8, 8), (1, 1, 1), "at least 16 voxels"),
        ((32, 32), (1, 1, 1), "three positive numbers"),
        ((32, 0, 32), (1, 1, 1), "three positive numbers"),
        ((32, 32, 32), (1, -1, 1), "spacing_mm"),
    ],
)
def test_impossible_patches_are_refused(patch: tuple[int, ...], spacing: tuple[float, ...], message: str) -> None:
    with pytest.raises(PedsegError, match=message):
        plan_topology(patch_size=patch, spacing_mm=spacing)


def test_explicit_plan_round_trips_and_is_checked() -> None:
    plan = plan_topology(patch_size=(32, 32, 32))
    lists = plan.as_lists()
    assert json.loads(json.dumps(lists)) == lists
    assert (
        Topology.explicit(features=[32, 64, 128, 256], kernels=[[3] * 3] * 4, strides=[[1] * 3] + [[2] * 3] * 3) == plan
    )
    with pytest.raises(PedsegError, match="2 features, 1 kernels"):
        Topology.explicit(features=[4, 8], kernels=[[3] * 3], strides=[[1] * 3, [2] * 3])


@pytest.mark.exact(
    "Kernels, strides and divisors that differ from the planner's, nine patches and spacings",
    section="Network",
    peer="nnunetv2",
    tolerance=0,
)
def test_plans_equal_nnunets_planner(peers_python: Path, exact: Exact) -> None:
    cases: list[tuple[list[float], list[int]]] = [
        ([1, 1, 1], [128, 128, 128]),
        ([1, 1, 1], [128, 160, 112]),
        ([1, 1, 1], [48, 56, 48]),
        ([4, 4, 4], [24, 32, 24]),
        ([5, 1, 1], [16, 128, 128]),
        ([3, 0.8, 0.9], [20, 256, 224]),
        ([1, 1, 2.5], [96, 96, 40]),
        ([1, 1, 1], [130, 96, 100]),
        ([1, 1, 1], [128, 16, 20]),
    ]
    command = [str(peers_python), "-c", PEER_PROGRAM, json.dumps(cases)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    for (spacing, patch), line in zip(cases, lines[-len(cases) :], strict=True):
        strides, kernels, padded, divisor = json.loads(line)
        if padded != patch:
            with pytest.raises(PedsegError, match="not a multiple"):
                plan_topology(patch_size=patch, spacing_mm=spacing)
            continue
        plan = plan_topology(patch_size=patch, spacing_mm=spacing)
        ours, theirs = [*plan.kernels, *plan.strides, plan.divisor], [*kernels, *strides, divisor]
        assert len(ours) == len(theirs)
        exact(sum(list(one) != other for one, other in zip(ours, theirs, strict=True)))
