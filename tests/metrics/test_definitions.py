"""The definition brats2025 against brats-evaluation itself, run by its own commands in the peers' environment.

It differs in three things, none of which shows at 1 mm, the spacing of BraTS: whole regions are measured in voxels;
the spacing of a file, (x, y, z), is applied to arrays (z, y, x); and distances carry the rounding of the spacing in the
file. It scores each tissue besides WT, TC and ET; only these three are compared.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pedseg.errors import PedsegError
from pedseg.metrics import RegionScore, get_definition, score_case
from tests.benchmarks.bench_metrics import scattered
from tests.exactness import Exact
from tests.metrics.brats_evaluation import COLUMNS, evaluate, write_case
from tests.metrics.cases import ONE_MM, Case, cases_at_one_mm, cases_elsewhere

Regions = NDArray[np.bool_]
AT_ONE_MM = (
    "random blobs, many lesions, touching and one-voxel lesions, empty masks on either and both sides, masks without a "
    "common voxel, lesions at the border, 240 × 240 × 155 voxels; 1 mm"
)
ELSEWHERE = {
    False: "blobs at four other spacings, in voxels (as the peer measures whole regions)",
    True: "blobs at four other spacings, taken as (x, y, z) for arrays (z, y, x) (as the peer does)",
}
TITLES = {"dice": "Dice", "hd95_mm": "HD95", "surface_dice": "Surface Dice", "f1": "F1"}


def ours(case: Case) -> list[RegionScore]:
    """Scores by brats2025; at other spacings with those that the peer takes."""
    _, prediction, label, spacing = case
    whole = score_case(prediction, label, spacing_mm=ONE_MM, definition="brats2025")
    lesions = score_case(prediction, label, spacing_mm=spacing[::-1], definition="brats2025")
    return [
        replace(by_lesion, dice=region.dice, hd95_mm=region.hd95_mm, surface_dice=region.surface_dice)
        for region, by_lesion in zip(whole, lesions, strict=True)
    ]


@pytest.fixture(scope="module")
def differences(
    peers_python: Path, tmp_path_factory: pytest.TempPathFactory, tumours: tuple[Regions, Regions]
) -> pd.DataFrame:
    """Absolute differences of all metrics, a row per case and region, with columns `kind` and `one_mm`."""
    cases = [*cases_at_one_mm(), ("full size", *tumours, ONE_MM), *cases_elsewhere()]
    folder = tmp_path_factory.mktemp("cases of the peer")
    for number, (_, prediction, label, spacing) in enumerate(cases):
        write_case(folder, number, prediction, label, spacing)
    theirs = evaluate(peers_python, folder)
    rows = []
    for number, case in enumerate(cases):
        for score in ours(case):
            expected = theirs[number, score.region.value]
            found = {name: difference(getattr(score, name), expected[name]) for name in COLUMNS}
            rows.append({"kind": case[0], "one_mm": case[3] == ONE_MM, "region": score.region.value, **found})
    return pd.DataFrame(rows)


def difference(a: float, b: float) -> float:
    """Absolute difference; 0 for two equal infinities or NaNs, infinite if only one is."""
    if a == b or (np.isnan(a) and np.isnan(b)):
        return 0.0
    return abs(a - b) if np.isfinite([a, b]).all() else float("inf")


def rows(*, elsewhere: bool) -> Iterator[object]:
    """A test for each metric, with its row of the page."""
    for name in COLUMNS:
        lesions = name.startswith("lesionwise_")
        title = TITLES[name.removeprefix("lesionwise_")]
        inputs = ELSEWHERE[lesions] if elsewhere else AT_ONE_MM
        subject = f"{title} of WT, TC and ET by brats2025, {'by lesion' if lesions else 'whole regions'}: {inputs}"
        settings = {"tolerance": 1e-6, "unit": "mm" if title == "HD95" else ""}
        mark = pytest.mark.exact(subject, section="Metrics", peer="brats-evaluation", **settings)
        yield pytest.param(name, marks=mark, id=name)


@pytest.mark.parametrize("metric", rows(elsewhere=False))
def test_equal_to_brats_evaluation_at_one_mm(metric: str, differences: pd.DataFrame, exact: Exact) -> None:
    for _, row in differences[differences["one_mm"]].iterrows():
        exact(row[metric])


@pytest.mark.parametrize("metric", rows(elsewhere=True))
def test_equal_to_brats_evaluation_elsewhere(metric: str, differences: pd.DataFrame, exact: Exact) -> None:
    for _, row in differences[~differences["one_mm"]].iterrows():
        exact(row[metric])


def test_elsewhere_ours_is_in_mm() -> None:
    """At 2 mm every distance doubles; the ones of the peer for whole regions do not."""
    _, prediction, label, _ = next(cases_elsewhere())
    for definition in ("brats2023", "brats2025"):
        one, two = (
            score_case(prediction, label, spacing_mm=(side,) * 3, definition=definition)[0] for side in (1.0, 2.0)
        )
        assert two.hd95_mm == pytest.approx(2 * one.hd95_mm)
        assert two.raw_hd95_mm == two.hd95_mm > 0


def test_the_two_definitions_differ() -> None:
    prediction, label = scattered(1)[:, 20:60, 40:90, 40:90], scattered(2)[:, 20:60, 40:90, 40:90]
    old, new = (score_case(prediction, label, spacing_mm=ONE_MM, definition=d)[0] for d in ("brats2023", "brats2025"))
    assert old.dice == new.dice
    for metric in ("hd95_mm", "surface_dice", "lesionwise_dice", "lesionwise_hd95_mm", "lesionwise_f1"):
        assert getattr(old, metric) != getattr(new, metric)


def test_unknown_definition() -> None:
    assert get_definition("brats2025").name == "brats2025"
    with pytest.raises(PedsegError, match="'BraTS' of the metrics is unknown; use one of brats2023, brats2025"):
        get_definition("BraTS")
