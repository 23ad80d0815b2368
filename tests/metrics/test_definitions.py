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
from scipy.ndimage import gaussian_filter

from pedseg.errors import PedsegError
from pedseg.metrics import RegionScore, get_definition, score_case
from tests.benchmarks.bench_metrics import scattered
from tests.exactness import Exact
from tests.metrics.brats_evaluation import COLUMNS, evaluate, write_case

Regions = NDArray[np.bool_]
Case = tuple[str, Regions, Regions, tuple[float, float, float]]  # kind, prediction, label, spacing in mm (z, y, x)
ONE_MM = (1.0, 1.0, 1.0)
ANISOTROPIC = ((2.0, 2.0, 2.0), (1.0, 2.0, 1.0), (1.0, 2.0, 3.0), (2.5, 0.75, 1.25))
AT_ONE_MM = (
    "random blobs, many lesions, touching and one-voxel lesions, empty masks on either and both sides, masks without a "
    "common voxel, lesions at the border, 240 × 240 × 155 voxels; 1 mm"
)
ELSEWHERE = {
    False: "blobs at four other spacings, in voxels (as the peer measures whole regions)",
    True: "blobs at four other spacings, taken as (x, y, z) for arrays (z, y, x) (as the peer does)",
}
TITLES = {"dice": "Dice", "hd95_mm": "HD95", "surface_dice": "Surface Dice", "f1": "F1"}


def nested(field: NDArray[np.float64], *, above: float) -> Regions:
    return np.stack([field > above + step for step in (0.0, 0.04, 0.08)])


def field(seed: int, *, sigma: float) -> NDArray[np.float64]:
    return np.asarray(gaussian_filter(np.random.default_rng(seed).standard_normal((30, 34, 38)), sigma))


def box(*corner: int, size: int = 3) -> Regions:
    masks = np.zeros((3, 12, 12, 12), dtype=bool)
    z, y, x = corner
    masks[:, z : z + size, y : y + size, x : x + size] = True
    return masks


def cases_at_one_mm(full_size: tuple[Regions, Regions]) -> Iterator[Case]:
    for seed in range(4):
        for sigma, kind in ((2.5, "blobs"), (1.2, "many lesions")):
            f, other = field(seed, sigma=sigma), field(seed + 50, sigma=sigma)
            yield kind, nested(f + 0.4 * other, above=0.09), nested(f, above=0.09), ONE_MM
    nothing, first = np.zeros((3, 12, 12, 12), dtype=bool), box(2, 2, 2)
    for offset in ((5, 5, 5), (5, 5, 2), (5, 2, 2), (6, 2, 2)):  # by a corner, an edge, a side; one voxel apart
        yield "touching", first | box(*offset, size=2), first | box(*offset), ONE_MM
        yield "touching in one only", box(2, 2, 2, size=2) | box(*offset), first | box(*offset), ONE_MM
    rods = [np.zeros((3, 12, 12, 12), dtype=bool) for _ in range(2)]
    rods[0][:, 4, 4, 0:4] = rods[0][:, 4, 4, 5:12] = True
    rods[1][:, 4, 4, 0:8] = rods[1][:, 4, 4, 9:11] = True
    yield "best sum", rods[0], rods[1], ONE_MM
    points = [box(z, y, x, size=1) for z, y, x in ((2, 2, 2), (2, 3, 2), (2, 4, 2), (9, 9, 9), (0, 0, 11))]
    yield "one voxel", points[0] | points[2] | points[3], points[0] | points[1] | points[2], ONE_MM  # equal partners
    yield "one voxel", points[0] | points[1] | points[2], points[0] | points[2] | points[4], ONE_MM
    yield "one voxel", points[3], points[3], ONE_MM
    yield "none in common", first, box(7, 7, 7), ONE_MM
    for prediction, label in ((nothing, nothing), (first, nothing), (nothing, first)):
        yield "empty", prediction, label, ONE_MM
    some = first.copy()
    some[1:] = False
    yield "TC and ET missed", some, first, ONE_MM
    for prediction, label in ((box(0, 0, 0), box(0, 0, 1)), (box(9, 9, 9), box(8, 9, 9)), (~nothing, box(5, 5, 5))):
        yield "border", prediction, label, ONE_MM
    yield "full size", *full_size, ONE_MM


def cases_elsewhere() -> Iterator[Case]:
    for seed, spacing in enumerate(ANISOTROPIC):
        f, other = field(seed + 9, sigma=2.0), field(seed + 70, sigma=2.0)
        yield "blobs", nested(f + 0.4 * other, above=0.09), nested(f, above=0.09), spacing


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
    cases = [*cases_at_one_mm(tumours), *cases_elsewhere()]
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
